package tree

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// batch is the room for one getdents64(2) in bytes: the longest name that /proc
// could have, or about ten pids. So few, because what is listed shall still
// live when it is read: a program that does nothing but fork and exit is
// gone in 100 microseconds.
const batch = 288

// scan calls visit for every process that /proc shows us, pids ascending. Those
// that vanish meanwhile and those that hidepid= closes to us are left out.
func scan(visit func(process)) error {
	proc, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot list processes: %w", err)
	}
	defer unix.Close(proc)
	var buf [batch]byte
	var names []string
	for {
		n, err := unix.Getdents(proc, buf[:])
		if err != nil {
			return fmt.Errorf("cannot list processes: %w", err)
		}
		if n == 0 {
			return nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		for _, name := range names {
			pid, err := strconv.Atoi(name)
			if err != nil {
				continue
			}
			if p, err := read(pid); err == nil {
				visit(p)
			}
		}
	}
}

// Visible returns an error if /proc may hide processes from us: mounted with
// hidepid= or ProtectProc= while we lack CAP_SYS_PTRACE. A process of our own
// uid is then hidden too as soon as it makes itself non-dumpable, so that Below
// and Kill miss it.
func Visible() error {
	if _, err := read(1); err != nil {
		return fmt.Errorf("cannot see all processes (hidepid= without CAP_SYS_PTRACE): %w", err)
	}
	return nil
}
