package masker

import "golang.org/x/sys/unix"

const (
	auditArch = unix.AUDIT_ARCH_X86_64
	// firstForeign is the lowest number of the x32 calls, which have the same
	// AUDIT_ARCH. They are others than those of the table.
	firstForeign = 0x40000000
)
