package stage

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// landlock restricts this thread, and what it becomes, by a ruleset that was
// built outside, landlock_restrict_self(2).
func landlock(ruleset int) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// proveConfined does what everybody may do but a confined agent: look into the
// root directory. No policy opens it, so success means that nothing is enforced.
func proveConfined() {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.EACCES {
		return
	}
	if err == nil {
		_ = unix.Close(fd)
	}
	fail(wire.StepProof, wire.CodeNotConfined)
}

// filterSize is the size of struct sock_filter in bytes.
const filterSize = 8

// loadFilter loads an assembled filter into this thread, seccomp(2).
func loadFilter(filter []byte) error {
	if len(filter)%filterSize != 0 || len(filter)/filterSize > unix.BPF_MAXINSNS {
		return unix.EINVAL
	}
	program := unix.SockFprog{Len: uint16(len(filter) / filterSize), Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0]))}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return errno
	}
	return nil
}
