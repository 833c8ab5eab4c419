package main

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// foreignCall has a child make a system call as a 32-bit program would, whose
// numbers mean other calls. A filter that looks at the number alone lets it pass.
func foreignCall(string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	err = exec.Command(self, "foreign").Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errors.New(exit.String()) // "signal: bad system call" is the filter's
	}
	return err
}

// foreign is the child: getpid(2) by int 0x80, which the kernel takes as i386's.
func foreign() {
	if runtime.GOARCH != "amd64" {
		os.Exit(3)
	}
	code, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		os.Exit(2)
	}
	copy(code, []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3}) // mov $20, %eax; int $0x80; ret
	entry := &code[0]
	function := &entry
	(*(*func())(unsafe.Pointer(&function)))()
}
