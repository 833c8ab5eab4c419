// Package cgroup gives every agent a cgroup v2 of its own: its limits hold for
// all its processes together, and all of them die by one write, however they
// fork.
//
// All groups lie below one directory that this keeper alone made:
//
//	unit's cgroup, delegated to us            or, as root, where the hierarchy is mounted
//	├── keeper                                │
//	│     ourselves: processes must be        │
//	│     leaves where controllers are on     │
//	└── agent-launcher.PID.START.NS           └── agent-launcher.PID.START.NS
//	    └── one per agent                         └── one per agent
//
// An agent that has another uid than the keeper cannot leave its group. One that
// shares our uid can, in a subtree that is delegated to that uid, unless Landlock
// closes /sys/fs/cgroup to it.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// leaf is where the keeper itself goes, and what DelegateSubgroup= in a unit
// should say.
const leaf = "keeper"

// Root is the directory that holds the agents' groups.
type Root struct {
	dir  string // its path
	name string // as /proc/PID/cgroup has it
	base string // the directory it is in
	home string // where we came from, if we moved into the leaf

	enabled     []string          // by us, in base
	controllers []string          // in the agents' groups
	missing     map[string]string // why the others are not there
}

// Open makes a place for agents' groups, after it has killed and removed what
// dead keepers left there. Where the subtree is delegated to us, the calling
// process moves into its leaf. The error is one sentence for an operator.
func Open() (*Root, error) {
	p, err := here()
	if err != nil {
		return nil, err
	}
	base, move, err := p.base(os.Geteuid())
	if err != nil {
		return nil, err
	}
	clearLeftovers(base)
	r := &Root{base: base, missing: map[string]string{}}
	if r.dir, err = makeOwn(base); err != nil {
		return nil, err
	}
	r.name = path.Join("/", p.root, strings.TrimPrefix(r.dir, p.mount))
	// Limits are worth less than the rest: without them agents still die whole.
	if move {
		if err := r.moveTo(path.Join(base, leaf)); err != nil {
			r.lack(wanted[:], err.Error())
			return r, nil
		}
	}
	r.enableAll(wanted[:])
	return r, nil
}

func here() (*place, error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cannot use cgroups: %w", err)
	}
	cgroup, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("cannot use cgroups: %w", err)
	}
	p, err := find(string(mountinfo), string(cgroup))
	if err != nil {
		return nil, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(p.mount, &fs); err != nil {
		return nil, fmt.Errorf("cannot use cgroups: %s: %w", p.mount, err)
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC { // something else was mounted over it
		return nil, errNoMount
	}
	return p, nil
}

// base finds the directory in which we may make one of our own, and whether we
// have to move out of it.
func (p *place) base(uid int) (dir string, move bool, err error) {
	own := p.dir(p.own)
	switch {
	case delegated(own, uid):
		return own, true, nil
	case path.Base(own) == leaf && own != p.mount && delegated(path.Dir(own), uid):
		return path.Dir(own), false, nil
	case uid == 0:
		return p.mount, false, nil
	}
	return "", false, fmt.Errorf("cannot use cgroups: cgroup %s is not delegated to uid %d (a systemd unit does so with Delegate=yes)", p.own, uid)
}

// delegated: systemd marks what it leaves to a unit (Delegate=), by either
// attribute. For an ordinary user, a directory of its own will do.
func delegated(dir string, uid int) bool {
	for _, attr := range []string{"trusted.delegate", "user.delegate"} {
		var value [2]byte
		if n, err := unix.Getxattr(dir, attr, value[:]); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	var st unix.Stat_t
	return uid != 0 && unix.Stat(dir, &st) == nil && int(st.Uid) == uid && unix.Access(dir, unix.W_OK) == nil
}

func makeOwn(base string) (string, error) {
	name, err := ownName()
	if err != nil {
		return "", fmt.Errorf("cannot use cgroups: %w", err)
	}
	dir := path.Join(base, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot use cgroups: %w", err)
	}
	if unix.Access(path.Join(dir, "cgroup.kill"), unix.F_OK) != nil {
		return "", errors.Join(errors.New("cannot use cgroups: this kernel has no cgroup.kill (Linux 5.14)"), os.Remove(dir))
	}
	return dir, nil
}

// moveTo moves the calling process, all threads of it, into dir.
func (r *Root) moveTo(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := write(dir, "cgroup.procs", "0"); err != nil {
		return err
	}
	r.home = r.base
	return nil
}

// Path is the cgroup that holds the agents' groups, as in /proc/PID/cgroup
// behind "0::".
func (r *Root) Path() string { return r.name }

// Close removes what Open made and moves the process back. While an agent's
// group is left it does nothing and returns EBUSY.
func (r *Root) Close() error {
	if err := unix.Rmdir(r.dir); err != nil {
		return fmt.Errorf("cannot remove cgroup %s: %w", r.dir, err)
	}
	if r.home == "" {
		return nil // what is enabled in a directory that others use stays so
	}
	// Whoever shares the leaf with us keeps it, and what follows then fails.
	for _, c := range r.enabled {
		_ = write(r.base, "cgroup.subtree_control", "-"+c)
	}
	if write(r.home, "cgroup.procs", "0") == nil {
		_ = unix.Rmdir(path.Join(r.base, leaf))
	}
	return nil
}

// write writes to a control file in one call, as the kernel wants it.
func write(dir, file, text string) error {
	name := path.Join(dir, file)
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return &os.PathError{Op: "write", Path: name, Err: err}
	}
	return nil
}
