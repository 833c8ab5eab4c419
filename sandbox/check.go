package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// check refuses, before anything starts, whatever could not be executed or
// would let a secret change what is executed.
func check(spec *LaunchSpec, bundle *protocol.Bundle) error {
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return errors.New("the command is empty")
	}
	if !filepath.IsAbs(spec.Dir) {
		return fmt.Errorf("working directory %q is not absolute", spec.Dir)
	}
	for _, arg := range append([]string{spec.Dir}, spec.Argv...) {
		if strings.IndexByte(arg, 0) >= 0 {
			return errors.New("an argument or the working directory holds a NUL byte")
		}
	}
	for name, value := range spec.Env {
		if err := protocol.CheckEnvName(name); err != nil {
			return err
		}
		if strings.IndexByte(value, 0) >= 0 {
			return fmt.Errorf("variable %s holds a NUL byte, which no environment can carry", name)
		}
	}
	if bundle != nil {
		if err := checkBundle(spec, bundle); err != nil {
			return err
		}
	}
	if len(candidates(spec.Argv[0], spec.Env["PATH"])) == 0 {
		return fmt.Errorf("%s: not found, PATH names no absolute directory", spec.Argv[0])
	}
	return checkSize(spec, bundle)
}

func checkBundle(spec *LaunchSpec, bundle *protocol.Bundle) error {
	if err := bundle.Validate(); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	for _, r := range bundle.Meta.Refs {
		if err := protocol.CheckSecretName(r.Name); err != nil {
			return fmt.Errorf("secret: %w", err)
		}
		if _, ok := spec.Env[r.Name]; ok {
			return fmt.Errorf("%s is both a plain variable and a secret", r.Name)
		}
	}
	return nil
}

// Limits of execve(2) on Linux: one string, and all strings with their
// pointers, which may take a quarter of the stack limit, 6 MiB at most
// (fs/exec.c, bprm_stack_limits).
const (
	maxString  = 32 * 4096 // MAX_ARG_STRLEN, terminating NUL included
	maxStrings = 6 << 20
	minStrings = 128 << 10 // ARG_MAX
)

// checkSize finds out from lengths alone what execve would answer with E2BIG,
// so that the message can say which string is too long and by how much.
func checkSize(spec *LaunchSpec, bundle *protocol.Bundle) error {
	total := 0
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
	if err := errors.Join(errs...); err != nil {
		return err
	}
	limit, err := stringsLimit()
	if err != nil {
		return err
	}
	total += longest(candidates(spec.Argv[0], spec.Env["PATH"])) + 1
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

// rlimits are set for every agent. Go raises the soft limit of open files to
// the hard one in its own processes, the stage included; programs that use
// select(2) break above 1024, so the agent gets the customary soft limit.
func rlimits() ([]wire.Rlimit, error) {
	var nofile unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile); err != nil {
		return nil, fmt.Errorf("cannot read the limit of open files: %w", err)
	}
	return []wire.Rlimit{
		{Resource: unix.RLIMIT_CORE, Soft: 1, Hard: 1},
		{Resource: unix.RLIMIT_NOFILE, Soft: min(1024, nofile.Max), Hard: nofile.Max},
	}, nil
}

func environ(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, name := range names(env) {
		out = append(out, name+"="+env[name])
	}
	return out
}

func names(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for name := range env {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func longest(paths []string) int {
	n := 0
	for _, p := range paths {
		n = max(n, len(p))
	}
	return n
}
