package sandbox

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denied is what no agent needs, with the reason. A name that this
// architecture does not have is left out. nested is what an agent that brings a
// sandbox of its own needs, sandbox.userNamespaces.
var denied = [...]struct {
	why    string
	errno  unix.Errno
	nested bool
	names  []string
}{
	{"look into or steer other processes", unix.EPERM, false,
		[]string{"ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise"}},
	{"programs inside the kernel", unix.EPERM, false, []string{"bpf"}},
	{"side channels, and a long list of kernel bugs", unix.EPERM, false, []string{"perf_event_open"}},
	{"key rings are shared by everything of one uid", unix.EPERM, false, []string{"add_key", "request_key", "keyctl"}},
	{"mounts change what a path means", unix.EPERM, true,
		[]string{"mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr"}},
	{"entering the namespaces of others", unix.EPERM, true, []string{"setns"}},
	{"kernel modules", unix.EPERM, false, []string{"init_module", "finit_module", "delete_module"}},
	{"another kernel", unix.EPERM, false, []string{"kexec_load", "kexec_file_load", "reboot"}},
	{"page faults handled by the attacker make kernel races easy", unix.EPERM, false, []string{"userfaultfd"}},
	{"does what this filter denies without a system call that it sees", unix.ENOSYS, false,
		[]string{"io_uring_setup", "io_uring_enter", "io_uring_register"}},
	{"opens files without their path, past Landlock's view", unix.EPERM, false, []string{"open_by_handle_at"}},
	{"swap", unix.EPERM, false, []string{"swapon", "swapoff"}},
	{"the clock of the whole host", unix.EPERM, false, []string{"clock_settime", "clock_adjtime", "settimeofday", "adjtimex"}},
	{"hardware ports", unix.EPERM, false, []string{"iopl", "ioperm"}},
	{"the kernel's log and accounting", unix.EPERM, false, []string{"syslog", "acct", "quotactl", "quotactl_fd"}},
	{"the host's name", unix.EPERM, true, []string{"sethostname", "setdomainname"}},
	{"old calls that only exploits use", unix.EPERM, false, []string{"uselib", "nfsservctl", "lookup_dcookie", "vhangup", "modify_ldt", "vm86", "_sysctl"}},
}

// newNamespaces are the CLONE_NEW* flags of clone(2) and unshare(2).
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// filters are assembled once: launches differ in few ways.
type filters struct {
	mu   sync.Mutex
	made map[filterKey][]byte
}

// filterKey is all of a policy that its filter depends on.
type filterKey struct {
	profile                   Profile
	unixSockets, namespaces   bool
	internet, restrictedPorts bool
}

func (f *filters) of(p *Policy) ([]byte, error) {
	key := filterKey{p.Profile, p.UnixSockets, p.UserNamespaces, len(p.ConnectTCP)+len(p.BindTCP) > 0, netRights(p) != 0}
	f.mu.Lock()
	defer f.mu.Unlock()
	if made, ok := f.made[key]; ok {
		return made, nil
	}
	made, err := filter(p)
	if err == nil {
		if f.made == nil {
			f.made = map[filterKey][]byte{}
		}
		f.made[key] = made
	}
	return made, err
}

// filter assembles the seccomp filter of a policy as the kernel takes it, an
// array of struct sock_filter; nothing for profile off.
func filter(p *Policy) ([]byte, error) {
	if p.Profile == ProfileOff {
		return nil, nil
	}
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, fmt.Errorf("cannot build a seccomp filter: %w", err)
	}
	policy := seccomp.Policy{DefaultAction: seccomp.ActionAllow, Syscalls: groups(p, info)}
	program, err := policy.Assemble()
	if err != nil {
		return nil, fmt.Errorf("cannot build a seccomp filter: %w", err)
	}
	raw, err := bpf.Assemble(append(preamble(info), program...))
	if err != nil {
		return nil, fmt.Errorf("cannot build a seccomp filter: %w", err)
	}
	out := make([]byte, 0, 8*len(raw))
	for _, r := range raw {
		out = binary.NativeEndian.AppendUint16(out, r.Op)
		out = append(out, r.Jt, r.Jf)
		out = binary.NativeEndian.AppendUint32(out, r.K)
	}
	return out, nil
}

func groups(p *Policy, info *arch.Info) []seccomp.SyscallGroup {
	var out []seccomp.SyscallGroup
	for _, d := range denied {
		if d.nested && p.UserNamespaces {
			continue
		}
		names := slices.DeleteFunc(slices.Clone(d.names), func(n string) bool { _, ok := info.SyscallNames[n]; return !ok })
		out = append(out, seccomp.SyscallGroup{Names: names, Action: errno(d.errno)})
	}
	if p.Profile == ProfileStrict || p.Profile == ProfilePlugin {
		out = append(out, seccomp.SyscallGroup{Names: sysvIPC(info), Action: errno(unix.ENOSYS)})
	}
	// go-seccomp-bpf compares the call's number once and then reuses the
	// register for arguments: a call with conditions may stand in one place
	// only, and those places come last.
	out = append(out, seccomp.SyscallGroup{Action: errno(unix.EPERM), NamesWithCondtions: []seccomp.NameWithConditions{
		when("prlimit64", noneOf(0, 0)...), // limits of others: between processes of one uid no other rule forbids it
	}})
	if p.UserNamespaces {
		return append(out, sockets(p))
	}
	return append(out,
		// Its flags lie in memory, where no filter can look; with ENOSYS every
		// libc falls back to clone.
		seccomp.SyscallGroup{Action: errno(unix.ENOSYS), Names: []string{"clone3"}},
		seccomp.SyscallGroup{Action: errno(unix.EPERM), NamesWithCondtions: []seccomp.NameWithConditions{
			when("clone", anyBit(0, newNamespaces)),
			when("unshare", anyBit(0, newNamespaces|unix.CLONE_NEWTIME)),
		}},
		sockets(p))
}

// sysvIPC is memory, queues and semaphores of the whole host: they outlive their
// makers, count to no limit, and connect what has nothing else in common.
func sysvIPC(info *arch.Info) []string {
	names := []string{"shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl", "semget", "semop", "semtimedop", "semctl"}
	return slices.DeleteFunc(names, func(n string) bool { _, ok := info.SyscallNames[n]; return !ok })
}

// sockets denies sockets by naming what is allowed. The kernel reads these
// arguments from the lower half of a register and the filter compares all of
// it, so a list of what is denied could be passed by with a bit in the upper half.
func sockets(p *Policy) seccomp.SyscallGroup {
	if p.Profile == ProfilePlugin {
		return listenOnly()
	}
	families := []uint64{unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK} // NETLINK: libc lists addresses with it
	if p.Profile == ProfileStrict && len(p.ConnectTCP)+len(p.BindTCP) == 0 {
		families = nil
	}
	if p.UnixSockets {
		families = append(families, unix.AF_UNIX)
	}
	deny := seccomp.SyscallGroup{Action: errno(unix.EPERM)}
	if !p.UnixSockets {
		// A datagram socket of a pair sends to every other by its path: SOCK_DGRAM
		// is 2, SOCK_RAW 3, of which the kernel makes the same.
		deny.NamesWithCondtions = append(deny.NamesWithCondtions, when("socketpair", anyBit(1, 2)))
	}
	if len(families) == 0 {
		deny.Names = []string{"socket"}
		return deny
	}
	deny.NamesWithCondtions = append(deny.NamesWithCondtions, when("socket", noneOf(0, families...)...))
	inet := noneOf(0, unix.AF_NETLINK, unix.AF_UNIX)
	if netRights(p) != 0 {
		// Landlock does not see the ports of MPTCP, SCTP or SMC. Programs that
		// prefer MPTCP, Go's among them, fall back to TCP.
		protocols := append(inet, noneOf(2, 0, unix.IPPROTO_TCP, unix.IPPROTO_UDP)...)
		deny.NamesWithCondtions = append(deny.NamesWithCondtions, when("socket", protocols...))
	}
	if p.Profile == ProfileStrict {
		// Nor of UDP: nothing but streams. SOCK_STREAM is 1 of the type's bits 0xf.
		streams := append(inet, anyBit(1, 0xe))
		deny.NamesWithCondtions = append(deny.NamesWithCondtions, when("socket", streams...))
	}
	return deny
}

// listenOnly is a plugin's: unix sockets of the one type that cannot be sent to
// before it is connected, and that it cannot connect. A datagram socket, or one
// of a pair, would reach every other by its path.
func listenOnly() seccomp.SyscallGroup {
	return seccomp.SyscallGroup{Action: errno(unix.EACCES), Names: []string{"connect"}, NamesWithCondtions: []seccomp.NameWithConditions{
		when("socket", noneOf(0, unix.AF_UNIX)...),
		when("socket", anyBit(1, 0xe)), // SOCK_STREAM is 1 of the type's bits 0xf
		when("socketpair", anyBit(1, 0xe)),
	}}
}

// when is a call if all conditions hold; several for one call are alternatives.
func when(name string, all ...seccomp.Condition) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: slices.Clone(all)}
}

func anyBit(arg uint32, bits uint64) seccomp.Condition {
	return seccomp.Condition{Argument: arg, Operation: seccomp.BitsSet, Value: bits}
}

func noneOf(arg uint32, values ...uint64) []seccomp.Condition {
	out := make([]seccomp.Condition, len(values))
	for i, v := range values {
		out[i] = seccomp.Condition{Argument: arg, Operation: seccomp.NotEqual, Value: v}
	}
	return out
}

func errno(e unix.Errno) seccomp.Action { return seccomp.ActionErrno | seccomp.Action(e) }

// Offsets in struct seccomp_data.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArg1 = 24 // lower half on little-endian machines, which amd64 and arm64 are
)

// preamble comes before the assembled filter, which would allow every call of
// another architecture (int 0x80 on amd64): those kill the process. And it
// denies the ioctls that type into a terminal, whatever the upper half of
// their register holds.
func preamble(info *arch.Info) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: offsetNr, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_IOCTL, SkipTrue: 4},
		bpf.LoadAbsolute{Off: offsetArg1, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.TIOCSTI, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: tioclinux, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
	}
}

const tioclinux = 0x541c // pastes into a console
