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
	if err := everyThread(unix.SYS_SETGROUPS, 0, 0, 0); err != nil {
		return err
	}
	if err := everyThread(unix.SYS_SETRESGID, gid, gid, gid); err != nil {
		return err
	}
	if err := everyThread(unix.SYS_SETRESUID, uid, uid, uid); err != nil {
		return err
	}
	return harden.NotDumpable() // the change of uid may have undone it
}

// dropCapabilities empties the ambient set, then effective, permitted and
// inheritable.
func dropCapabilities() error {
	if err := everyThread(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return err
	}
	var none [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
}

// dropBounding empties the bounding set where CAP_SETPCAP is held.
func dropBounding() error {
	var have [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &have[0]); err != nil {
		return err
	}
	if have[0].Effective&(1<<unix.CAP_SETPCAP) == 0 {
		return nil
	}
	for c := uintptr(0); c < 64; c++ {
		err := everyThread(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
		if err == unix.EINVAL { // past the last capability of this kernel
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
