package stage

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// FDSweep is the directory that Sweep empties, O_PATH or open for reading.
const FDSweep = 3

// Exit codes of Sweep.
const (
	sweepDone   = 0
	sweepFailed = 1 // something is left, or it could not begin
	sweepUsage  = 2
)

// Sweep empties the directory at FDSweep as UID:GID, or as who we are if that is
// empty, and returns the exit code. The directory itself stays. It prints
// nothing: names in there are the agent's.
//
// Whoever still runs in the directory can keep Sweep busy for ever, and with the
// same uid can kill it: the starter kills the agent first and sets a deadline.
func Sweep(who string) int {
	runtime.LockOSThread() // as in Main: what is given up is given up by this thread
	user, ok := wire.ParseUser(who)
	if !ok {
		return sweepUsage
	}
	if drop(user) != nil {
		return sweepFailed
	}
	unix.Umask(0o077)
	s, err := newSweeper(FDSweep)
	if err != nil || confineTo(s.top) != nil || s.run() != nil {
		return sweepFailed
	}
	return sweepDone
}

// drop gives up what the content of the directory must never work with, in the
// order and for the reasons of Main.
func drop(user *wire.User) error {
	steps := []func() error{forbidCores, leaveKeyring, func() error { return harden.DropBounding(harden.ThisThread) }}
	if user != nil {
		steps = append(steps, func() error { return setGroups(user) }, func() error { return setUser(user) })
	}
	steps = append(steps, func() error { return harden.DropCapabilities(harden.ThisThread) }, func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
