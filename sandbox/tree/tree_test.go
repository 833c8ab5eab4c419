package tree

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// plant starts a tree below a reaper, or a hoarder of zombies, and returns its
// pid and the first line that the tree prints.
func plant(t *testing.T, argv ...string) (root int, line string) {
	return plantBelow(t, "reaper", argv...)
}

func plantBelow(t *testing.T, parent string, argv ...string) (root int, line string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], append([]string{parent}, argv...)...)
	cmd.Stderr = os.Stderr
	_, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = Kill(cmd.Process.Pid, nil)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid, line
}

func hostile(how string) []string { return []string{os.Args[0], "hostile", how} }

// public is a copy of the test binary that any user may execute.
func public(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	dir, err := os.MkdirTemp("/tmp", "tree-")
	if err != nil {
		t.Fatal(err)
	}
	old := os.Args[0]
	t.Cleanup(func() { os.Args[0] = old; _ = os.RemoveAll(dir) })
	if out, err := exec.Command("cp", old, dir+"/tree.test").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(dir+"/tree.test", 0o755)); err != nil {
		t.Fatal(err)
	}
	os.Args[0] = dir + "/tree.test"
}

func poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within a minute", what)
		}
	}
}

func TestKill(t *testing.T) {
	public(t)
	for name, argv := range map[string][]string{
		"one child":      {"sh", "-c", "echo up; exec sleep 1000"},
		"ignores":        {"sh", "-c", `trap "" TERM HUP INT; echo up; while :; do sleep 1000; done`},
		"double fork":    {"sh", "-c", "(setsid sh -c 'setsid sleep 1000 & sleep 1000 & echo up; wait' &); exit 0"},
		"zombies":        {"sh", "-c", "for i in 1 2 3; do (sleep 0 & exec setsid sleep 1000) & done; echo up; exec sleep 1000"},
		"deep":           {"sh", "-c", `f() { if [ $1 -gt 0 ]; then (f $(($1-1)); :); else echo up; sleep 1000; fi; }; f 60`},
		"stopped":        {"sh", "-c", "sleep 1000 & kill -STOP $!; echo up; kill -STOP $$"},
		"fork bomb":      hostile("bomb"),
		"runner":         hostile("runner"),
		"continuer":      hostile("continuer"),
		"headless":       hostile("headless"),
		"runner, bombed": hostile("runner, bombed"),
	} {
		t.Run(name, func(t *testing.T) {
			parent := "reaper"
			if name == "zombies" {
				parent = "hoarder"
			}
			root, _ := plantBelow(t, parent, argv...)
			killed := 0
			poll(t, "Kill wins", func() bool { // on a loaded machine a bomb may take more than one call
				n, err := Kill(root, nil)
				killed += n
				if err != nil && !errors.Is(err, ErrGrowing) {
					t.Fatal(err)
				}
				return err == nil
			})
			if killed == 0 {
				t.Error("nobody was killed")
			}
			poll(t, "nobody is left", func() bool {
				left, err := Below(root)
				return err == nil && len(left) == 0
			})
			if again, err := Kill(root, nil); again != 0 || err != nil {
				t.Errorf("zombies killed again: %d, %v", again, err)
			}
			if unix.Kill(root, 0) != nil {
				t.Error("root itself was killed")
			}
		})
	}
}

// pids reads a line of numbers.
func pids(t *testing.T, line string) []int {
	t.Helper()
	var out []int
	for _, f := range strings.Fields(line) {
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

const family = `sleep 1000 & a=$!; sh -c 'sleep 1000 & echo $$ $!; wait' | { read b; sleep 1000 & echo $$ $a $b $!; wait; }`

func TestSpareAndBelow(t *testing.T) {
	root, line := plant(t, "sh", "-c", family)
	p := pids(t, line) // shell, child, spared, its child, child
	below, err := Below(root)
	if err != nil || slices.Contains(below, root) {
		t.Fatal(below, err)
	}
	for _, pid := range p {
		if !slices.Contains(below, pid) {
			t.Errorf("%d is not below the root: %v", pid, below)
		}
		if !Inside(pid, func(pid int) bool { return pid == root }) || !Inside(pid, func(q int) bool { return q == pid }) {
			t.Errorf("%d is not inside the root or itself", pid)
		}
	}
	spared := func(pid int) bool { return pid == p[2] }
	if Inside(p[1], spared) || !Inside(p[3], spared) || Inside(os.Getpid(), spared) || Inside(1<<22, spared) || Inside(0, spared) || Inside(-1, spared) {
		t.Error("inside is wrong about who is inside the spared one")
	}
	if _, err := Kill(root, spared); err != nil {
		t.Fatal(err)
	}
	poll(t, "the rest is dead", func() bool {
		left, _ := Below(root)
		slices.Sort(left)
		want := []int{p[2], p[3]}
		slices.Sort(want)
		return slices.Equal(left, want)
	})
	for _, pid := range p[2:4] {
		if s, err := read(pid); err != nil || s.state == 'T' {
			t.Errorf("a spared one was stopped: %+v, %v", s, err)
		}
	}
}

// TestRecycled: a number whose process is another by now, or is no descendant
// any more, is not hit.
func TestRecycled(t *testing.T) {
	_, line := plant(t, "sh", "-c", "sleep 1000 & echo $!; wait")
	pid := pids(t, line)[0]
	p, err := read(pid)
	if err != nil {
		t.Fatal(err)
	}
	other := p
	other.start++
	deliver := func(p process, root int) error {
		r := round{killer: &killer{root: root}, sig: unix.SIGKILL}
		return r.deliver(p)
	}
	if err := deliver(other, p.ppid); err != unix.ESRCH {
		t.Errorf("another start: %v", err)
	}
	if err := deliver(p, os.Getpid()); err != unix.ESRCH {
		t.Errorf("another parent: %v", err)
	}
	if now, err := read(pid); err != nil || now.state == 'T' || !now.alive() {
		t.Errorf("it was hit: %+v, %v", now, err)
	}
	if err := deliver(p, p.ppid); err != nil {
		t.Error(err)
	}
}

func TestKillRefuses(t *testing.T) {
	for _, root := range []int{0, -1} {
		if n, err := Kill(root, nil); n != 0 || err == nil {
			t.Errorf("root %d: %d, %v", root, n, err)
		}
	}
}

// TestKillWithoutPrivilege: a keeper that may not switch users says whom it may
// not kill.
func TestKillWithoutPrivilege(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to switch to another user")
	}
	public(t)
	root, line := plant(t, "sh", "-c", "echo $$; exec sleep 1000")
	cmd := exec.Command(os.Args[0], "killer", strconv.Itoa(root))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinaryUID, Gid: ordinaryUID}}
	out, err := cmd.CombinedOutput()
	want := "0 cannot signal process " + strings.TrimSpace(line) + ": operation not permitted\n"
	if string(out) != want || err != nil {
		t.Errorf("%q, %v", out, err)
	}
}
