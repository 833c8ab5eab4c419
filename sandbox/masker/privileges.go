package masker

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// ignoreSignals leaves SIGKILL: a unit's stop signals everything in it, but the
// masker ends after the last agent, by EOF. A log that is broken or too large is
// an errno. With these numbers the call cannot fail.
func ignoreSignals() {
	action := struct{ handler, flags, restorer, mask uint64 }{handler: 1} // SIG_IGN, as the kernel takes it
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGPIPE, unix.SIGXFSZ,
		unix.SIGTSTP, unix.SIGTTOU, unix.SIGTTIN, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM} {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
}

// become switches to another user here and not at the fork: the program's file
// may be one that only its owner can execute.
func become(who string) error {
	user, ok := wire.ParseUser(who)
	if !ok {
		return unix.EINVAL
	}
	if user == nil {
		return nil
	}
	uid, gid := uintptr(user.UID), uintptr(user.GID)
	if err := harden.AllThreads(unix.SYS_SETGROUPS, 0, 0, 0); err != nil {
		return err
	}
	if err := harden.AllThreads(unix.SYS_SETRESGID, gid, gid, gid); err != nil {
		return err
	}
	if err := harden.AllThreads(unix.SYS_SETRESUID, uid, uid, uid); err != nil {
		return err
	}
	return harden.NotDumpable() // the change of uid may have undone it
}
