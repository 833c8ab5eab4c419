package main

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
)

// hardenProcess keeps the memory of this process, which holds values and keys,
// to itself.
func hardenProcess() error {
	if err := harden.LimitCores(); err != nil {
		return fmt.Errorf("cannot forbid core dumps: %w", err)
	}
	if err := harden.NotDumpable(); err != nil {
		return fmt.Errorf("cannot become non-dumpable: %w", err)
	}
	unix.Umask(0o077)
	return nil
}
