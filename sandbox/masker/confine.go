package masker

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// confine takes everything from this process but the descriptors it has, 0 to
// 3, and those that it will be sent. level says what the kernel enforces.
//
// A Go process has several threads before main begins, and credentials,
// no_new_privs and Landlock belong to a thread: each step is made on all.
func confine(who string) (level string, failure *wire.Failure) {
	var abi int
	for _, s := range []struct {
		step wire.Step
		do   func() error
	}{
		{wire.StepCore, forbidCores},
		{wire.StepClose, func() error { return unix.CloseRange(wire.FDKeeper+1, ^uint(0), 0) }},
		{wire.StepCapabilities, func() error { return harden.DropBounding(harden.AllThreads) }}, // needs a capability, so before the change of user
		{wire.StepUser, func() error { return become(who) }},
		{wire.StepCapabilities, func() error { return harden.DropCapabilities(harden.AllThreads) }},
		{wire.StepPrivileges, func() error { return harden.AllThreads(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0) }},
		{wire.StepLandlock, func() (err error) { abi, err = landlock(); return err }},
		{wire.StepProof, func() error { return denied(abi > 0, unix.EACCES) }},
		{wire.StepSeccomp, loadFilter},
		{wire.StepProof, func() error { return denied(true, unix.EPERM) }},
	} {
		if err := s.do(); err != nil {
			return "", &wire.Failure{Step: s.step, Code: code(err)}
		}
	}
	return levelText(abi), nil
}

var errNotConfined = errors.New("a denied access succeeded")

func code(err error) uint32 {
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		return uint32(errno)
	case errors.Is(err, errNotConfined):
		return wire.CodeNotConfined
	}
	return uint32(unix.EINVAL)
}

// forbidCores comes first: no crash writes output anywhere, and no neighbour of
// the same uid looks into this process.
func forbidCores() error {
	if err := harden.LimitCores(); err != nil {
		return err
	}
	return harden.NotDumpable()
}
