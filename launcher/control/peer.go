package control

import (
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// allowed looks at who connected: SO_PEERCRED and SO_PEERGROUPS of unix(7) are
// taken by the kernel at connect and cannot be forged.
func allowed(c net.Conn, group uint32) bool {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return false
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return false
	}
	ok = false
	_ = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return
		}
		ok = cred.Uid == 0 || cred.Uid == uint32(os.Geteuid()) || cred.Gid == group || inGroup(int(fd), group)
	})
	return ok
}

func inGroup(fd int, group uint32) bool {
	groups, err := peerGroups(fd)
	return err == nil && slices.Contains(groups, group)
}
