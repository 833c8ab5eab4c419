package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// Limits of execve(2) on Linux: one string, and all strings with their
// pointers, which may take a quarter of the stack limit, 6 MiB at most
// (fs/exec.c, bprm_stack_limits).
const (
	maxString  = 32 * 4096 // MAX_ARG_STRLEN, terminating NUL included
	maxStrings = 6 << 20
	minStrings = 128 << 10 // ARG_MAX
)

// checkStrings and checkTotal find out from lengths alone what execve would
// answer with E2BIG, so that the message can say which string is too long and
// by how much. total is the size of all strings and the pointers to them.
func checkStrings(spec *LaunchSpec, bundle *protocol.Bundle) (total int, err error) {
	add := func(what string, size int) error {
		total += size + 8
		if size > maxString {
			return fmt.Errorf("%s takes %d bytes, %d more than the kernel's limit of %d for one string (E2BIG)",
				what, size, size-maxString, maxString)
		}
		return nil
	}
	var errs []error
	for i, arg := range spec.Argv {
		errs = append(errs, add(fmt.Sprintf("argument %d", i), len(arg)+1))
	}
	for _, name := range names(spec.Env) {
		errs = append(errs, add("variable "+name, len(name)+1+len(spec.Env[name])+1))
	}
	if bundle != nil {
		for _, r := range bundle.Meta.Refs {
			errs = append(errs, add("secret "+r.Name, len(r.Name)+1+int(r.Length)+1))
		}
	}
	return total, errors.Join(errs...)
}

func checkTotal(total int) error {
	limit, err := stringsLimit()
	if err != nil {
		return err
	}
	if total > limit {
		return fmt.Errorf("arguments and environment take %d bytes, %d more than the limit of %d, a quarter of the stack limit (E2BIG)",
			total, total-limit, limit)
	}
	return nil
}

func stringsLimit() (int, error) {
	var stack unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &stack); err != nil {
		return 0, fmt.Errorf("cannot read the stack limit: %w", err)
	}
	return int(max(min(stack.Cur/4, maxStrings), minStrings)), nil
}

// rlimits are set for every agent, beside the core limit, which the stage sets
// for itself and the agent inherits. Go raises the soft limit of open files to
// the hard one in its own processes, the stage included; programs that use
// select(2) break above 1024, so the agent gets the customary soft limit.
func rlimits(l Limits) ([]wire.Rlimit, error) {
	var nofile unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile); err != nil {
		return nil, fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	files := wire.Rlimit{Resource: unix.RLIMIT_NOFILE, Soft: min(1024, nofile.Max), Hard: nofile.Max}
	if l.NoFile > 0 {
		files.Soft, files.Hard = l.NoFile, l.NoFile
	}
	out := []wire.Rlimit{files}
	for _, x := range []struct {
		resource uint32
		limit    uint64
	}{{unix.RLIMIT_NPROC, l.NProc}, {unix.RLIMIT_FSIZE, l.FSize}} {
		if x.limit > 0 {
			out = append(out, wire.Rlimit{Resource: x.resource, Soft: x.limit, Hard: x.limit})
		}
	}
	return out, nil
}
