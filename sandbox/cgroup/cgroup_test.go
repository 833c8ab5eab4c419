package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func exists(dir string) bool { return unix.Access(dir, unix.F_OK) == nil }

func cgroupOf(t *testing.T, pid int) string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	must(t, err)
	name, _ := unified(string(data))
	return name
}

// base makes a cgroup as systemd makes a unit's, delegated or not.
func base(t *testing.T, mount string, attr string, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp(mount, "agent-launcher-test-")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() {
		_ = write(dir, "cgroup.kill", "1")
		_ = waitEmpty(dir, time.Now().Add(10*time.Second))
		if err := removeAll(dir); err != nil {
			t.Error(err)
		}
	})
	if attr != "" {
		must(t, unix.Setxattr(dir, attr, []byte("1"), 0))
	}
	for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control"} {
		must(t, os.Chown(path.Join(dir, file), uid, uid))
	}
	return dir
}

func TestOpenWithoutDelegation(t *testing.T) {
	user := ""
	if os.Geteuid() == 0 {
		user = fmt.Sprint(ordinaryUID)
	}
	p, err := here()
	if err != nil {
		t.Skip(err)
	}
	if os.Geteuid() != 0 && delegated(p.dir(p.own), os.Geteuid()) {
		t.Skip("our cgroup is delegated to us")
	}
	k := startKeeper(t, "", user, "true")
	uid := max(os.Geteuid(), 0)
	if user != "" {
		uid = ordinaryUID
	}
	want := fmt.Sprintf("cannot use cgroups: cgroup %s is not delegated to uid %d (a systemd unit does so with Delegate=yes)", p.own, uid)
	if got := k.close(t); got != want {
		t.Errorf("%s", got)
	}
}

func TestDelegated(t *testing.T) {
	mount := hierarchy(t)
	for name, test := range map[string]struct {
		attr, user string
		uid        int
	}{
		"trusted.delegate":    {attr: "trusted.delegate"},
		"user.delegate":       {attr: "user.delegate"},
		"by ownership":        {uid: ordinaryUID, user: fmt.Sprint(ordinaryUID)},
		"unit of a user":      {attr: "user.delegate", uid: ordinaryUID, user: fmt.Sprint(ordinaryUID)},
		"root without a mark": {},
	} {
		t.Run(name, func(t *testing.T) {
			dir := base(t, mount, test.attr, test.uid)
			home := "/" + path.Base(dir)
			under, own := home, home+"/"+leaf
			if name == "root without a mark" {
				under, own = "", home
			}
			k := startKeeper(t, dir, test.user, "setsid sleep 1000 & exec sleep 1000")
			root, agent := k.opened(t)
			o, ok := parseOwner(path.Base(root))
			if !ok || o.pid != k.cmd.Process.Pid || root != path.Join("/", under, o.String()) {
				t.Errorf("root is %s", root)
			}
			if got := cgroupOf(t, o.pid); got != own {
				t.Errorf("the keeper is in %s, want %s", got, own)
			}
			if Holds(root, o.pid) || !Holds(root, agent) || cgroupOf(t, agent) != root+"/agent" {
				t.Errorf("the agent is in %s", cgroupOf(t, agent))
			}
			if got := k.close(t); got != "" || exists(path.Join(dir, leaf)) || exists(mount+root) {
				t.Errorf("close: %s; something is left", got)
			}
		})
	}
}

// TestDelegateSubgroup: a keeper that systemd, or a life before, put into the leaf stays there.
func TestDelegateSubgroup(t *testing.T) {
	dir := base(t, hierarchy(t), "user.delegate", 0)
	must(t, os.Mkdir(path.Join(dir, leaf), 0o755))
	k := startKeeper(t, path.Join(dir, leaf), "", "exec sleep 1000")
	root, _ := k.opened(t)
	if path.Dir(root) != "/"+path.Base(dir) || cgroupOf(t, k.cmd.Process.Pid) != "/"+path.Base(dir)+"/"+leaf {
		t.Errorf("root is %s, the keeper in %s", root, cgroupOf(t, k.cmd.Process.Pid))
	}
	if got := k.close(t); got != "" || !exists(path.Join(dir, leaf)) {
		t.Errorf("close: %s; the leaf is not ours to remove", got)
	}
}

// hostile are trees that a signal to a process group does not reach.
var hostile = map[string]string{
	"one":         "exec sleep 1000",
	"setsid":      "setsid setsid sleep 1000 & sleep 1000",
	"double fork": "(setsid sh -c '(setsid sleep 1000 &) & sleep 1000' &) & sleep 1000",
	"fork bomb":   "b() { while :; do (b &) 2>/dev/null; done; }; b & sleep 1000",
	"stopped":     "kill -STOP $$",
	"ignores":     `trap "" TERM HUP INT QUIT; while :; do sleep 1000; done`,
}

func TestKill(t *testing.T) {
	mount := hierarchy(t)
	r, err := Open()
	must(t, err)
	t.Cleanup(func() { must(t, r.Close()); must(t, gone(mount+r.Path())) })
	for name, script := range hostile {
		t.Run(name, func(t *testing.T) {
			g, err := r.Make("agent", Limits{})
			must(t, err)
			if empty, err := g.Empty(); !empty || err != nil {
				t.Errorf("a new group: empty %t, %v", empty, err)
			}
			pid, err := startAgent(g, script)
			must(t, err)
			if !Holds(r.Path(), pid) || Holds(r.Path(), os.Getpid()) || Holds("", pid) || Holds(r.Path()+"/agent", pid) || Holds(r.Path()[:len(r.Path())-1], pid) {
				t.Errorf("who is inside %s?", cgroupOf(t, pid))
			}
			if empty, err := g.Empty(); empty || err != nil {
				t.Errorf("with an agent: empty %t, %v", empty, err)
			}
			if err := g.Remove(); !errors.Is(err, unix.EBUSY) {
				t.Errorf("removed with an agent in it: %v", err)
			}
			must(t, g.Kill())
			must(t, waitEmpty(g.dir, time.Now().Add(10*time.Second)))
			if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
				t.Error(err)
			}
			must(t, g.Remove())
			must(t, gone(mount+r.Path()+"/agent"))
			if err := g.Kill(); err == nil {
				t.Error("killed what is removed")
			}
		})
	}
	if _, err := r.Make("agent", Limits{}); err != nil {
		t.Errorf("a name is free again: %v", err)
	}
	if _, err := r.Make("agent", Limits{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a name is taken: %v", err)
	}
	if err := r.Close(); !errors.Is(err, unix.EBUSY) {
		t.Errorf("closed with a group in it: %v", err)
	}
	must(t, unix.Rmdir(path.Join(r.dir, "agent")))
}

func gone(dir string) error {
	if exists(dir) {
		return errors.New(dir + " is still there")
	}
	return nil
}

// TestLeftovers: what a killed keeper left dies when the next one starts, and
// nothing else does.
func TestLeftovers(t *testing.T) {
	mount := hierarchy(t)
	for _, delegated := range []string{"", "user.delegate"} {
		dir := base(t, mount, delegated, 0)
		where := mount
		if delegated != "" {
			where = dir
		}
		alive := startKeeper(t, dir, "", "exec sleep 1000")
		aliveRoot, _ := alive.opened(t)
		dead := startKeeper(t, dir, "", "setsid sleep 1000 & sleep 1000")
		deadRoot, agent := dead.opened(t)
		fd, err := unix.PidfdOpen(agent, 0)
		must(t, err)
		us, err := ourselves()
		must(t, err)
		foreign := []string{"agent-launcher.x", "agent-launcher.service", owner{1 << 22, 1, us.namespace + 1}.String()}
		for _, name := range foreign {
			must(t, os.Mkdir(path.Join(where, name), 0o755))
			t.Cleanup(func() { must(t, unix.Rmdir(path.Join(where, name))) })
		}
		must(t, dead.cmd.Process.Kill())
		_ = dead.cmd.Wait()
		if !exists(mount+deadRoot) || polled(fd) {
			t.Fatal("the agent died with its keeper")
		}
		next := startKeeper(t, dir, "", "exec sleep 1000")
		next.opened(t)
		if exists(mount+deadRoot) || !polled(fd) {
			t.Error("an agent of a dead keeper lives")
		}
		unix.Close(fd)
		for _, name := range append(slices.Clone(foreign), path.Base(aliveRoot), path.Base(aliveRoot)+"/agent") {
			if !exists(path.Join(where, name)) {
				t.Errorf("%s is not ours and was removed", name)
			}
		}
		for _, k := range []*keeper{next, alive} {
			if got := k.close(t); got != "" {
				t.Error(got)
			}
		}
	}
}

func polled(pidfd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0)
	return n == 1 && err == nil
}

// TestEnable uses whatever controller there is.
func TestEnable(t *testing.T) {
	mount := hierarchy(t)
	data, err := os.ReadFile(mount + "/cgroup.controllers")
	must(t, err)
	all := strings.Fields(string(data))
	if len(all) == 0 {
		t.Skip("this hierarchy has no controller at all")
	}
	c := all[0]
	was := lists(mount, "cgroup.subtree_control", c)
	t.Cleanup(func() {
		if !was {
			must(t, write(mount, "cgroup.subtree_control", "-"+c))
		}
	})
	dir := base(t, mount, "", 0)
	_, err = enable(mount, c)
	must(t, err)
	must(t, os.Mkdir(dir+"/own", 0o755))
	r := Root{base: dir, dir: dir + "/own", missing: map[string]string{}}
	r.enableAll([]string{c, "none-such"})
	if !slices.Equal(r.controllers, []string{c}) || !lists(dir+"/own", "cgroup.subtree_control", c) {
		t.Errorf("%v; %v", r.controllers, r.missing)
	}
	if r.missing["none-such"] != dir+" has no none-such controller" {
		t.Errorf("%v", r.missing)
	}
}
