package keeper

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// makeDirs makes an agent's private directories below the one that came with
// the call, and opens them in its ruleset:
//
//	BASE/home         0700, the agent's, stays
//	BASE/tmp          0711, ours
//	BASE/tmp/NAME     0700, the agent's, for this run
//
// The keeper may be root and BASE belong to a launcher that was taken over: no
// link is followed, nothing is given away that was not made here, and nothing is
// made in a directory of anybody else: to open one needs no right to write.
func (k *keeper) makeDirs(r *run, s *wire.Start, files []int) error {
	base, err := dup(files[wire.StartBase])
	if err != nil {
		return err
	}
	r.base = base
	var st unix.Stat_t
	if err := unix.Fstat(base, &st); err != nil {
		return fmt.Errorf("cannot look at the place of the agent's directories: %w", err)
	}
	if st.Uid != k.Daemon && k.Daemon != uint32(os.Geteuid()) { // else the launcher can do all that we can
		return fmt.Errorf("the place of the agent's directories belongs to uid %d, not to the launcher's uid %d", st.Uid, k.Daemon)
	}
	home, err := r.ownDir(base, wire.HomeDir, "HOME")
	if err != nil {
		return err
	}
	defer unix.Close(home)
	tmp, err := passage(base, wire.TmpDir)
	if err != nil {
		return err
	}
	defer unix.Close(tmp)
	k.sweepOld(base, tmp)
	own, err := r.ownDir(tmp, wire.TmpName(r.id), "TMPDIR")
	if err != nil {
		return err
	}
	defer unix.Close(own)
	for _, rule := range []struct {
		dir    int
		rights uint64
	}{{home, s.HomeRights}, {own, s.TmpRights}} {
		if err := addRule(files[wire.StartRuleset], rule.dir, rule.rights); err != nil {
			return err
		}
	}
	return nil
}

// ownDir makes or opens a directory of the agent's user.
func (r *run) ownDir(at int, name, what string) (int, error) {
	uid, gid := os.Geteuid(), os.Getegid()
	if r.user != nil {
		uid, gid = int(r.user.UID), int(r.user.GID)
	}
	made, fd, err := makeDir(at, name, 0o700)
	if err != nil {
		return -1, fmt.Errorf("cannot make the agent's %s: %w", what, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("cannot look at the agent's %s: %w", what, err)
	}
	if int(st.Uid) == uid {
		return fd, nil
	}
	if !made || int(st.Uid) != os.Geteuid() { // not ours: it is not what was made here
		_ = unix.Close(fd)
		return -1, fmt.Errorf("the agent's %s belongs to uid %d and the agent runs as uid %d: chown -R it, or remove it", what, st.Uid, uid)
	}
	if err := unix.Fchown(fd, uid, gid); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("cannot give the agent its %s: %w", what, err)
	}
	return fd, nil
}

// passage makes or opens a directory that agents of other users pass through.
func passage(at int, name string) (int, error) {
	made, fd, err := makeDir(at, name, 0o711)
	var st unix.Stat_t
	if err == nil {
		err = unix.Fstat(fd, &st)
	}
	if err == nil && int(st.Uid) != os.Geteuid() {
		err = fmt.Errorf("%s belongs to uid %d, not to the keeper", name, st.Uid)
	}
	if err == nil && made {
		err = unix.Fchmod(fd, 0o711) // whatever the umask is
	}
	if err != nil {
		return closeFD(fd), fmt.Errorf("cannot make the agent's directories: %w", err)
	}
	return fd, nil
}

func makeDir(at int, name string, mode uint32) (made bool, fd int, err error) {
	err = unix.Mkdirat(at, name, mode)
	if made = err == nil; !made && err != unix.EEXIST {
		return false, -1, err
	}
	fd, err = openDir(at, name, unix.O_RDONLY)
	if err == unix.EACCES && !made { // another user's, whom we may not read: it is enough to know it
		fd, err = openDir(at, name, unix.O_PATH)
	}
	return made, fd, err
}

// openDir opens a directory right below at: through no link, and into no mount,
// which the launcher may have made in a namespace of its own to show us what is
// not its, openat2(2).
func openDir(at int, name string, flags uint64) (int, error) {
	return unix.Openat2(at, name, &unix.OpenHow{
		Flags:   flags | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
}

// addRule opens dir in a Landlock ruleset, landlock_add_rule(2).
func addRule(ruleset, dir int, rights uint64) error {
	if rights == 0 {
		return nil
	}
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(dir)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("cannot add the agent's directories to its sandbox: %w", errno)
	}
	return nil
}

// sweep is a process that empties the TMPDIR of a run that has ended.
type sweep struct {
	tmp  int // BASE/tmp
	name string
}

// sweep removes BASE/tmp/NAME. A stage without a bundle empties it, as the user
// that it belongs to: what an agent may have put there is no path for root.
func (k *keeper) sweep(base int, name string) {
	for _, s := range k.sweeps {
		if s.name == name {
			return
		}
	}
	tmp, err := openDir(base, wire.TmpDir, unix.O_RDONLY)
	if err != nil {
		return // never made
	}
	pid, err := k.forkSweep(tmp, name)
	if err != nil || pid == 0 {
		_ = unix.Close(tmp)
		if err != nil {
			complain(err)
		}
		return
	}
	k.sweeps[pid] = &sweep{tmp: tmp, name: name}
}

func (k *keeper) forkSweep(tmp int, name string) (int, error) {
	dir, err := openDir(tmp, name, unix.O_PATH)
	if err == unix.ENOENT {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot empty a TMPDIR: %w", err)
	}
	defer unix.Close(dir)
	if err := unix.Unlinkat(tmp, name, unix.AT_REMOVEDIR); err == nil { // most are empty
		return 0, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(dir, &st); err != nil {
		return 0, fmt.Errorf("cannot empty a TMPDIR: %w", err)
	}
	who := &wire.User{UID: st.Uid, GID: st.Gid, Groups: []uint32{}}
	owner := wire.FormatUser(st.Uid, st.Gid)
	if int(st.Uid) == os.Geteuid() {
		who, owner = nil, ""
	}
	if err := k.Users.mayOwn(who); err != nil { // it is no agent's, whoever put it there
		return 0, fmt.Errorf("cannot empty a TMPDIR: %w", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	return forkSelf([]string{"sweep", owner}, []int{int(null.Fd()), int(null.Fd()), int(null.Fd()), dir})
}

// swept is the end of a sweep: the directory itself is ours to remove.
func (k *keeper) swept(pid int) {
	s := k.sweeps[pid]
	delete(k.sweeps, pid)
	if err := unix.Unlinkat(s.tmp, s.name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT {
		complain(fmt.Errorf("cannot empty TMPDIR %s, the agent's next run tries again: %w", s.name, err))
	}
	_ = unix.Close(s.tmp)
}

// maxOld is how many old TMPDIRs are emptied at a time.
const maxOld = 8

// sweepOld removes what an earlier keeper left in BASE/tmp.
func (k *keeper) sweepOld(base, tmp int) {
	dir, err := os.Open(filepath.Join("/proc/self/fd", strconv.Itoa(tmp)))
	if err != nil {
		return
	}
	defer dir.Close()
	live := map[string]bool{}
	for run := range k.runs {
		live[wire.TmpName(run)] = true
	}
	names, _ := dir.Readdirnames(1000)
	for _, name := range names {
		if wire.ValidTmpName(name) && !live[name] && len(k.sweeps) < maxOld {
			k.sweep(base, name)
		}
	}
}
