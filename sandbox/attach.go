package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrGone says that the process to attach to does not exist any more.
var ErrGone = errors.New("the process is gone")

// Attached is an agent that another launcher started and left behind. It is
// not our child: its exit status is known only where the kernel keeps it for
// holders of a pidfd (Linux 6.15).
type Attached struct {
	PID   int
	pidfd *pidfd

	mu   sync.Mutex
	gone bool
}

// Attach takes hold of the process pid that started start ticks after boot. A
// pid alone may long belong to a stranger; with its start time it does not.
func Attach(pid int, start uint64) (*Attached, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	switch err {
	case unix.ESRCH, unix.EINVAL, unix.ENOENT: // ENOENT: now it is a thread's id
		return nil, ErrGone
	}
	if err != nil {
		return nil, fmt.Errorf("cannot attach to pid %d: %w", pid, err)
	}
	pidfd := newPidfd(fd)
	// The pidfd pins the process; only now is its start time worth reading.
	if got, err := startTime(pid); err != nil || got != start {
		_ = pidfd.close()
		return nil, ErrGone
	}
	return &Attached{PID: pid, pidfd: pidfd}, nil
}

// Signal sends sig to the process group of the agent.
func (a *Attached) Signal(sig syscall.Signal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.gone {
		a.pidfd.signalGroup(sig)
	}
}

// Wait blocks until the agent has exited or ctx ends, and kills what is left
// of its process group. After that the answer is os.ErrProcessDone.
func (a *Attached) Wait(ctx context.Context) (Exit, error) {
	if err := a.pidfd.wait(ctx, unix.POLLIN); err != nil {
		if a.isGone() {
			return Exit{}, os.ErrProcessDone
		}
		return Exit{}, err
	}
	a.mu.Lock()
	gone := a.gone
	a.gone = true
	a.mu.Unlock()
	if gone {
		return Exit{}, os.ErrProcessDone
	}
	a.pidfd.signalGroup(syscall.SIGKILL)
	exit := a.pidfd.exit()
	return exit, a.pidfd.close()
}

func (a *Attached) isGone() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gone
}

// startTime is field 22 of /proc/PID/stat, clock ticks after boot. The name in
// field 2 may hold spaces and parentheses: fields count from the last one.
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	rest := string(data[strings.LastIndexByte(string(data), ')')+1:])
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields)+2)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// BootID names this boot of the machine: start times of another mean nothing.
func BootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot read the boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}
