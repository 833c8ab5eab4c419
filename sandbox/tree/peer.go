package tree

import "golang.org/x/sys/unix"

// Peer reports whether is holds for the process that connected to the unix
// socket fd or for one of its ancestors, as Inside does. It also holds for one that
// has ended: its connection goes on in a child of it, and whose that is nobody
// can tell any more. A process of another pid namespace, which has no number
// here, is nobody's.
func Peer(fd int, is func(pid int) bool) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return true
	}
	if peer.Pid == 0 {
		return false
	}
	pidfd, err := peerPidfd(fd, int(peer.Pid))
	if err != nil {
		return true
	}
	defer unix.Close(pidfd)
	// In this order: as long as it has not ended, the number was its own.
	return Inside(int(peer.Pid), is) || ended(pidfd)
}

// peerPidfd is a pidfd of the process itself since Linux 6.5; before, of who has
// its number now.
func peerPidfd(fd, pid int) (int, error) {
	pidfd, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if err == unix.ENOPROTOOPT {
		return unix.PidfdOpen(pid, 0)
	}
	return pidfd, err
}

func ended(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR {
			return err != nil || n > 0
		}
	}
}
