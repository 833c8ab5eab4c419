package stage

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// forbidCores: the filter keeps memory out of any core an agent's child might
// raise the limit for. Limit and filter survive execve. Non-dumpable comes
// last: after it /proc/self belongs to root.
func forbidCores() error {
	if err := harden.LimitCores(); err != nil {
		return err
	}
	if err := clearCoreFilter(); err != nil {
		return err
	}
	return harden.NotDumpable()
}

// clearCoreFilter accepts EACCES: a binary that its user may execute but not
// read is non-dumpable from its first instruction, and the limit still holds.
func clearCoreFilter() error {
	fd, err := unix.Open("/proc/self/coredump_filter", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err == unix.EACCES {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("0"))
	return err
}

// joinCgroup joins the cgroup that the keeper opened for this run. Where it has
// none, the stage becomes a child subreaper, which survives execve, so that
// whatever the agent starts and abandons stays below its pid,
// PR_SET_CHILD_SUBREAPER(2const). Not with a cgroup: an agent that does not
// expect children of others would never reap them.
func joinCgroup() error {
	var st unix.Stat_t
	if err := unix.Fstat(wire.FDCgroup, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR { // /dev/null
		return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	}
	_, err := unix.Write(wire.FDCgroup, []byte("0")) // the writer itself, cgroups(7)
	return err
}

// dieWith ends the agent when its keeper dies: nobody else could. A change of
// uid undoes it, so it comes after that, PR_SET_PDEATHSIG(2const); the keeper may have died
// before.
func dieWith(keeper int) error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	if unix.Getppid() != keeper {
		return unix.ESRCH
	}
	return nil
}

// leaveKeyring gives the agent an empty session keyring of its own in place of
// the launcher's, which execve would hand on, keyctl_join_session_keyring(3). It
// comes before the change of uid: the new keyring counts against our quota. A
// kernel without keyrings has none to hand on.
func leaveKeyring() error {
	_, _, errno := unix.RawSyscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if errno == 0 || errno == unix.ENOSYS {
		return nil
	}
	return errno
}

// setRlimits only ever lowers a limit: the stage may be privileged to raise it,
// and whoever wrote the launch spec is not.
func setRlimits(limits []wire.Rlimit) error {
	for _, l := range limits {
		var now unix.Rlimit
		if err := unix.Prlimit(0, int(l.Resource), nil, &now); err != nil {
			return err
		}
		hard := min(l.Hard, now.Max)
		if err := unix.Prlimit(0, int(l.Resource), &unix.Rlimit{Cur: min(l.Soft, hard), Max: hard}, nil); err != nil {
			return err
		}
	}
	return nil
}

// setGroups and setUser use raw system calls: they change this thread alone,
// which is the one that survives execve.
func setGroups(u *wire.User) error {
	var p unsafe.Pointer
	if len(u.Groups) > 0 {
		p = unsafe.Pointer(&u.Groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(u.Groups)), uintptr(p), 0); errno != 0 {
		return errno
	}
	return nil
}

func setUser(u *wire.User) error {
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); errno != 0 {
		return errno
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); errno != 0 {
		return errno
	}
	// A change of uid sets dumpable to fs.suid_dumpable, which may be 1: the
	// agent's uid could then read this process, host key and all.
	return harden.NotDumpable()
}

// resetSignals gives the agent default dispositions and an empty mask: a
// daemon under nohup ignores SIGHUP, and an ignored signal survives execve.
// The Go runtime's own handlers become default by execve itself.
func resetSignals() {
	var action [32]byte // struct sigaction of the kernel: handler SIG_DFL, flags 0, mask empty
	for sig := uintptr(1); sig <= 64; sig++ {
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig, uintptr(unsafe.Pointer(&action)), 0, 8, 0, 0)
	}
	var mask uint64
	unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&mask)), 0, 8, 0, 0)
}
