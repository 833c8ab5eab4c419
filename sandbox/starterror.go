package sandbox

import (
	"fmt"
	"syscall"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// StartError is a stage's failure in the words of the launch spec.
type StartError struct {
	Failure *wire.Failure
	spec    *LaunchSpec
	uid     uint32 // the agent's
}

// ExitCode is what a shell would exit with: 127 for a program that is not
// there, 126 for one that cannot be executed, else 125.
func (e *StartError) ExitCode() int {
	if e.Failure.Step != wire.StepExec {
		return 125
	}
	switch e.Failure.Errno() {
	case syscall.ENOENT, syscall.ENOTDIR:
		return 127
	case syscall.EACCES, syscall.ENOEXEC, syscall.EPERM, syscall.ELIBBAD:
		return 126
	}
	return 125
}

// Error names the step and the cause.
func (e *StartError) Error() string {
	f := e.Failure
	switch {
	case f.Step == wire.StepExec && f.Errno() == syscall.ENOENT:
		return fmt.Sprintf("%s: not found (the program, or the interpreter that its first line names)", e.spec.Argv[0])
	case f.Step == wire.StepExec && f.Errno() == syscall.ENOEXEC:
		return fmt.Sprintf("%s: neither a program of this machine nor a script that begins with #!", e.spec.Argv[0])
	case f.Step == wire.StepExec && f.Errno() == syscall.E2BIG:
		return fmt.Sprintf("%s: arguments and environment exceed the kernel's limit (E2BIG)", e.spec.Argv[0])
	case f.Step == wire.StepExec:
		return fmt.Sprintf("cannot execute %s: %s", e.spec.Argv[0], f.Reason())
	case f.Step == wire.StepDir:
		return fmt.Sprintf("uid %d cannot enter working directory %s: %s", e.uid, e.spec.Dir, f.Reason())
	case f.Step == wire.StepMemory:
		return fmt.Sprintf("%s (is LimitMEMLOCK, see ulimit -l, large enough?)", f.Error())
	}
	return f.Error()
}
