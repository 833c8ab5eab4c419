// Package harden closes a process to core dumps and to neighbours of the same
// uid. Daemon, stage and control plane begin with it.
package harden

import "golang.org/x/sys/unix"

// LimitCores sets the core limit to exactly 1 byte: under a page, so no core
// file is written, and unlike 0 it also stops a core_pattern that pipes to a
// handler (kernel fs/coredump.c). Where somebody set the hard limit to 0 before
// and we may not raise it, as containers and login sessions often do, it is 0.
func LimitCores() error {
	core := unix.Rlimit{Cur: 1, Max: 1}
	err := unix.Prlimit(0, unix.RLIMIT_CORE, &core, nil)
	if err == unix.EPERM {
		core = unix.Rlimit{}
		err = unix.Prlimit(0, unix.RLIMIT_CORE, &core, nil)
	}
	return err
}

// NotDumpable shuts out ptrace, /proc/PID/mem and environ for the same uid,
// PR_SET_DUMPABLE(2const). execve and a change of uid undo it.
func NotDumpable() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
