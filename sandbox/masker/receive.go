package masker

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// receive waits for a datagram of the keeper and the fds that it carries: none
// unless all of them arrived. An error means that the keeper is gone.
func (m *masker) receive() (data []byte, fds []int, err error) {
	data = make([]byte, wire.MaxMaskerMessage+1) // one more, so that a longer one is refused
	control := make([]byte, unix.CmsgSpace(3*4)) // three fds; the kernel closes what does not fit
	var n, oob, flags int
	rerr := m.keeper.Read(func(fd uintptr) bool {
		for err = unix.EINTR; err == unix.EINTR; {
			n, oob, flags, _, err = unix.Recvmsg(int(fd), data, control, unix.MSG_CMSG_CLOEXEC)
		}
		return err != unix.EAGAIN
	})
	switch {
	case rerr != nil:
		return nil, nil, rerr
	case err != nil:
		return nil, nil, err
	}
	fds = parseRights(control[:oob])
	if n == 0 { // an empty datagram looks the same: no keeper sends one
		closeAll(fds)
		return nil, nil, io.EOF
	}
	if flags&unix.MSG_CTRUNC != 0 {
		closeAll(fds)
		fds = nil
	}
	return data[:n], fds, nil
}

func parseRights(control []byte) []int {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	var all []int
	for i := range messages {
		if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
			all = append(all, fds...)
		}
	}
	return all
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}
