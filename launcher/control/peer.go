package control

import (
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// refusal looks at who connected and says why it may not control the daemon;
// nil if it may. SO_PEERCRED and SO_PEERGROUPS of unix(7) are taken by the kernel
// at connect and cannot be forged.
func refusal(c net.Conn, group uint32, isAgent func(fd int, uid uint32) bool) *Error {
	no := &Error{Error: "this user may not control the daemon", Hint: "run as root or as a member of the control socket's group"}
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return no
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return no
	}
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		if cred.Uid == 0 || cred.Uid == uint32(os.Geteuid()) || cred.Gid == group || inGroup(int(fd), group) {
			no = nil
		}
		if isAgent(int(fd), cred.Uid) { // an agent may have the daemon's uid, or a group of its user
			no = &Error{Error: "an agent may not control the daemon"}
		}
	})
	return no
}

func inGroup(fd int, group uint32) bool {
	groups, err := peerGroups(fd)
	return err == nil && slices.Contains(groups, group)
}
