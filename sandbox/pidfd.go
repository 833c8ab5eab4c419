package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidFile wraps a pidfd so that the Go runtime's poller waits on it: a
// hundred waiting agents cost no thread each.
func pidFile(fd int) *os.File {
	_ = unix.SetNonblock(fd, true)
	return os.NewFile(uintptr(fd), "pidfd")
}

// waitExit waits until the process of pidfd has exited, which makes the pidfd
// readable (pidfd_open(2)), or ctx ends.
func waitExit(ctx context.Context, pidfd *os.File) error {
	conn, err := pidfd.SyscallConn()
	if err != nil {
		return os.ErrProcessDone
	}
	if err := pidfd.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("cannot wait for a process: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = pidfd.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = conn.Read(func(fd uintptr) bool {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 1
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrClosed):
		return os.ErrProcessDone
	}
	return fmt.Errorf("cannot wait for a process: %w", err)
}

// control runs f with the descriptor. File.Fd would do, but makes it blocking.
func control(file *os.File, f func(fd int)) {
	if conn, err := file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { f(int(fd)) })
	}
}

const signalProcessGroup = 1 << 2 // PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9

// signalGroup signals the process group that the process of pidfd leads, even
// after that process was reaped; an older kernel reaches the process alone.
// The pidfd names exactly this group: no number is reused.
func signalGroup(pidfd *os.File, sig syscall.Signal) {
	control(pidfd, func(fd int) {
		if err := unix.PidfdSendSignal(fd, sig, nil, signalProcessGroup); err == unix.EINVAL {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0)
		}
	})
}

// pidfdInfo is struct pidfd_info of linux/pidfd.h, 72 bytes.
type pidfdInfo struct {
	mask     uint64
	cgroup   uint64
	ids      [11]uint32
	exitCode int32
	_        [2]uint32
}

const (
	getInfo  = 0xc048ff0b // PIDFD_GET_INFO for 72 bytes
	infoExit = 1 << 3     // set in the answer once the real parent has reaped
)

// exitOf asks the kernel how a process ended that is not our child.
func exitOf(pidfd *os.File) Exit {
	info := pidfdInfo{mask: infoExit}
	var errno syscall.Errno
	control(pidfd, func(fd int) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getInfo, uintptr(unsafe.Pointer(&info)))
	})
	if errno != 0 || info.mask&infoExit == 0 {
		return Exit{}
	}
	ws := syscall.WaitStatus(info.exitCode)
	if ws.Signaled() {
		return Exit{Known: true, Signal: ws.Signal()}
	}
	return Exit{Known: true, Code: ws.ExitStatus()}
}
