package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// harden keeps the memory of this process, which holds values and keys, to
// itself. A core limit of exactly 1 is under a page, so no core file is
// written, and unlike 0 it also stops a core_pattern that pipes to a handler
// (kernel fs/coredump.c). Non-dumpable also shuts out ptrace by the same uid.
func harden() error {
	core := unix.Rlimit{Cur: 1, Max: 1}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &core); err != nil {
		return fmt.Errorf("cannot forbid core dumps: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become non-dumpable: %w", err)
	}
	unix.Umask(0o077)
	return nil
}
