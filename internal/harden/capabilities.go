package harden

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Call makes a system call, on this thread or on all: capabilities belong to a
// thread, and a Go process has several before main begins.
type Call func(trap, a1, a2, a3 uintptr) error

// ThisThread is for a thread that is locked and calls execve.
func ThisThread(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := unix.RawSyscall6(trap, a1, a2, a3, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// AllThreads fails in a build with cgo, which has threads that the runtime does
// not know.
func AllThreads(trap, a1, a2, a3 uintptr) error {
	if _, _, errno := syscall.AllThreadsSyscall6(trap, a1, a2, a3, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// DropBounding empties the bounding set where CAP_SETPCAP allows it; without it
// there is nothing to gain that no_new_privs does not deny.
func DropBounding(call Call) error {
	var have [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &have[0]); err != nil {
		return err
	}
	if have[0].Effective&(1<<unix.CAP_SETPCAP) == 0 {
		return nil
	}
	for c := uintptr(0); c < 64; c++ {
		err := call(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0)
		if err == unix.EINVAL { // past the last capability of this kernel
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// DropCapabilities empties the ambient set, then effective, permitted and
// inheritable.
func DropCapabilities(call Call) error {
	if err := call(unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return err
	}
	var none [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	return call(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
}
