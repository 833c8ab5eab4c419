package stage

import (
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// lockedMemory maps size bytes that are never swapped and never dumped:
// memfd_secret(2) (Linux 5.14), whose pages the kernel itself unmaps from its
// own address space, or, where that is switched off, mlock(2) with
// MADV_DONTDUMP. Its pages count against RLIMIT_MEMLOCK.
func lockedMemory(size int) ([]byte, wire.Memory, error) {
	page := unix.Getpagesize()
	size = (size + page - 1) / page * page
	if mem, err := secretMemory(size); err == nil {
		return mem, wire.MemorySecret, nil
	}
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, 0, err
	}
	if err := unix.Mlock(mem); err != nil {
		return nil, 0, err
	}
	for _, advice := range []int{unix.MADV_DONTDUMP, unix.MADV_WIPEONFORK} {
		if err := unix.Madvise(mem, advice); err != nil {
			return nil, 0, err
		}
	}
	return mem, wire.MemoryLocked, nil
}

func secretMemory(size int) ([]byte, error) {
	fd, err := unix.MemfdSecret(unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// The mapping keeps the memory alive. The fd is the one handle by which
	// another process could map it, so it goes at once.
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	if err := unix.Madvise(mem, unix.MADV_DONTFORK); err != nil {
		_ = unix.Munmap(mem)
		return nil, err
	}
	return mem, nil
}
