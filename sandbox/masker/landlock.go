package masker

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
)

// Landlock's rights are numbered in the order in which they came, so those of an
// ABI are the lowest bits (Documentation/userspace-api/landlock.rst).
func handled(abi int, scopeSignals bool) unix.LandlockRulesetAttr {
	var a unix.LandlockRulesetAttr
	for _, x := range []struct {
		abi   int
		field *uint64
		last  uint64 // the highest right that the ABI added
	}{
		{1, &a.Handled_access_fs, unix.LANDLOCK_ACCESS_FS_MAKE_SYM},
		{2, &a.Handled_access_fs, unix.LANDLOCK_ACCESS_FS_REFER},
		{3, &a.Handled_access_fs, unix.LANDLOCK_ACCESS_FS_TRUNCATE},
		{4, &a.Handled_access_net, unix.LANDLOCK_ACCESS_NET_CONNECT_TCP},
		{5, &a.Handled_access_fs, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV},
		{6, &a.Scoped, unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET},
		{9, &a.Handled_access_fs, unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX},
		{10, &a.Handled_access_net, unix.LANDLOCK_ACCESS_NET_CONNECT_SEND_UDP},
	} {
		if abi >= x.abi {
			*x.field = x.last<<1 - 1
		}
	}
	if abi >= 6 && scopeSignals {
		a.Scoped |= unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// erratumSignals is the bit of erratum 2: with it fixed, threads may signal one
// another although each is a domain of its own. Without, the Go runtime could not
// restrict the second thread after the first. The filter denies such signals anyway.
const erratumSignals = 1 << 1

// landlock restricts every thread by a ruleset that handles all rights of this
// kernel and has no rule: nothing at all is allowed. abi is 0, and nothing
// restricted, on a kernel without Landlock.
func landlock() (abi int, err error) {
	version, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, nil
	}
	errata, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_ERRATA)
	attr := handled(int(version), errno == 0 && errata&erratumSignals != 0)
	ruleset, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return 0, errno
	}
	defer unix.Close(int(ruleset))
	return int(version), harden.AllThreads(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0)
}

// denied opens what everybody may open but a confined process. If that must
// fail, it must fail with errno: Landlock and the filter answer differently.
func denied(must bool, errno unix.Errno) error {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	if must && err != errno {
		return errNotConfined
	}
	return nil
}

func levelText(abi int) string {
	if abi == 0 {
		return "seccomp; LOST: Landlock"
	}
	return fmt.Sprintf("Landlock ABI %d, seccomp", abi)
}
