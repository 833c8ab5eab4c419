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

// pidfd refers to one process for ever, whatever becomes of its number.
type pidfd struct {
	file *os.File
	turn chan struct{} // one waiter at a time: they share the file's deadline
}

// newPidfd wraps fd so that the Go runtime's poller waits on it: a hundred
// waiting agents cost no thread each.
func newPidfd(fd int) *pidfd {
	_ = unix.SetNonblock(fd, true)
	return &pidfd{file: os.NewFile(uintptr(fd), "pidfd"), turn: make(chan struct{}, 1)}
}

func (p *pidfd) close() error { return p.file.Close() }

// wait waits until event is pending on the pidfd or ctx ends: POLLIN once the
// process has exited (pidfd_open(2)), POLLHUP once its parent has reaped it
// (Linux 6.9).
func (p *pidfd) wait(ctx context.Context, event int16) error {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	conn, err := p.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("cannot wait for a process: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		if err := p.file.SetReadDeadline(time.Time{}); err != nil {
			return fmt.Errorf("cannot wait for a process: %w", err)
		}
		happened := false
		err := conn.Read(func(fd uintptr) bool {
			happened = polled(fd, event)
			return happened || ctx.Err() != nil
		})
		switch {
		case happened:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !errors.Is(err, os.ErrDeadlineExceeded): // else it was the last waiter's
			return fmt.Errorf("cannot wait for a process: %w", err)
		}
	}
}

func polled(fd uintptr, event int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents&event != 0
}

// control runs f with the descriptor. File.Fd would do, but makes it blocking.
func (p *pidfd) control(f func(fd int)) {
	if conn, err := p.file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { f(int(fd)) })
	}
}

const signalProcessGroup = 1 << 2 // PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9

// signalGroup signals the process group that the process leads, even
// after that process was reaped; an older kernel reaches the process alone.
// The pidfd names exactly this group: no number is reused.
func (p *pidfd) signalGroup(sig syscall.Signal) {
	p.control(func(fd int) {
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

// reapTimeout is how long exit waits for a parent to reap: the system's init
// does so at once, one that never does must not block for ever.
const reapTimeout = 2 * time.Second

// exit asks the kernel how a process ended that is not our child. The kernel
// tells from the moment in which the real parent reaps it.
func (p *pidfd) exit() Exit {
	if _, err := p.info(); err != nil { // this kernel never tells
		return Exit{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), reapTimeout)
	defer cancel()
	_ = p.wait(ctx, unix.POLLHUP)
	exit, _ := p.info()
	return exit
}

func (p *pidfd) info() (Exit, error) {
	info := pidfdInfo{mask: infoExit}
	errno := syscall.EBADF
	p.control(func(fd int) {
		_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getInfo, uintptr(unsafe.Pointer(&info)))
	})
	if errno != 0 {
		return Exit{}, errno
	}
	if info.mask&infoExit == 0 {
		return Exit{}, nil
	}
	return exitFrom(syscall.WaitStatus(info.exitCode)), nil
}
