package masker

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one system call that stays allowed, and why. With values, only if the
// lower half of argument arg, reduced to mask, is one of them. These arguments
// are ints or flags of 32 bits, so the lower half is all that the kernel reads.
type call struct {
	nr     uint32
	why    string
	arg    uint32
	mask   uint32
	values []uint32
}

// threadFlags are what the Go runtime starts a thread with, runtime.cloneFlags.
const threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD

const allBits = ^uint32(0)

// allowed is all that the copying loops and the runtime of Go 1.26 need.
// Anything else is EPERM.
func allowed(pid int) []call {
	return []call{
		{nr: unix.SYS_READ, why: "pipes"},
		{nr: unix.SYS_WRITE, why: "logs"},
		{nr: unix.SYS_CLOSE, why: "both, at their end"},
		{nr: unix.SYS_PPOLL, why: "a log that is a non-blocking pipe"},
		{nr: unix.SYS_IOCTL, why: "how much is in a pipe", arg: 1, mask: allBits, values: []uint32{fionread}},
		{nr: unix.SYS_FCNTL, why: "pipes that do not block", arg: 1, mask: allBits, values: []uint32{unix.F_GETFL, unix.F_SETFL}},
		{nr: unix.SYS_RECVMSG, why: "orders, and the descriptors with them"},
		{nr: unix.SYS_SENDMSG, why: "reports"},

		{nr: unix.SYS_EPOLL_CREATE1, why: "the runtime waits for pipes"},
		{nr: unix.SYS_EPOLL_CTL, why: "the runtime waits for pipes"},
		{nr: unix.SYS_EPOLL_PWAIT, why: "the runtime waits for pipes"},
		{nr: unix.SYS_EVENTFD2, why: "and wakes who waits"},

		{nr: unix.SYS_MMAP, why: "memory, never executable", arg: 2, mask: unix.PROT_EXEC, values: []uint32{0}},
		{nr: unix.SYS_MUNMAP, why: "memory"},
		{nr: unix.SYS_MADVISE, why: "memory that is returned"},
		{nr: unix.SYS_MLOCK, why: "buffers out of swap"},

		{nr: unix.SYS_CLONE, why: "threads, no processes", arg: 0, mask: allBits &^ unix.CLONE_SETTLS, values: []uint32{threadFlags}},
		{nr: unix.SYS_EXIT, why: "a thread ends"},
		{nr: unix.SYS_EXIT_GROUP, why: "the end"},
		{nr: unix.SYS_FUTEX, why: "threads wait for one another"},
		{nr: unix.SYS_NANOSLEEP, why: "the runtime's monitor thread"},
		{nr: unix.SYS_SCHED_YIELD, why: "spinning locks"},
		{nr: unix.SYS_CLOCK_GETTIME, why: "timers, where the vDSO has no clock"},
		{nr: unix.SYS_RESTART_SYSCALL, why: "a sleep after SIGSTOP and SIGCONT"},

		{nr: unix.SYS_RT_SIGPROCMASK, why: "each new thread"},
		{nr: unix.SYS_SIGALTSTACK, why: "each new thread"},
		{nr: unix.SYS_GETTID, why: "each new thread"},
		{nr: unix.SYS_GETPID, why: "preemption"},
		{nr: unix.SYS_TGKILL, why: "preemption, by a signal to a thread of our own", arg: 0, mask: allBits, values: []uint32{uint32(pid)}},
		{nr: unix.SYS_RT_SIGRETURN, why: "the end of each signal's handler"},
	}
}

// fionread is FIONREAD, which x/sys has for some systems only.
const fionread = unix.TIOCINQ

// Offsets in struct seccomp_data.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16 // 8 bytes each, the lower half first on amd64 and arm64
)

// filter assembles the table for the kernel. What is not in it, x32 calls
// included, is EPERM; the system calls of another architecture have other
// numbers, and kill.
func filter(pid int) []unix.SockFilter {
	program := []unix.SockFilter{
		load(offsetArch),
		jump(unix.BPF_JEQ, auditArch, 1, 0),
		ret(unix.SECCOMP_RET_KILL_PROCESS),
		load(offsetNr),
		jump(unix.BPF_JGE, firstForeign, 0, 1),
		ret(refuse),
	}
	for _, c := range allowed(pid) {
		block := c.block()
		program = append(program, jump(unix.BPF_JEQ, c.nr, 0, uint8(len(block))))
		program = append(program, block...)
	}
	return append(program, ret(refuse))
}

const refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)

// block decides about a call whose number matched. It always returns, since it
// may have overwritten the number.
func (c *call) block() []unix.SockFilter {
	allow := ret(unix.SECCOMP_RET_ALLOW)
	if len(c.values) == 0 {
		return []unix.SockFilter{allow}
	}
	and := unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: c.mask}
	block := []unix.SockFilter{load(offsetArgs + 8*c.arg), and}
	for _, v := range c.values {
		block = append(block, jump(unix.BPF_JEQ, v, 0, 1), allow)
	}
	return append(block, ret(refuse))
}

func load(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

// jump skips yes instructions where the comparison holds, else no.
func jump(comparison uint16, k uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | comparison | unix.BPF_K, Jt: yes, Jf: no, K: k}
}

func ret(k uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k}
}

// loadFilter loads the filter into all threads at once.
func loadFilter() error {
	program := filter(unix.Getpid())
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	r, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno
	}
	if r != 0 { // the thread that could not be brought under it
		return unix.ESRCH
	}
	return nil
}
