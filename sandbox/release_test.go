package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/sandbox/tree"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// TestStageWaits: nothing of the agent happens before Release.
func TestStageWaits(t *testing.T) {
	h := newHost(t)
	mark := filepath.Join(t.TempDir(), "ran")
	p := h.start(t, command("/bin/sh", "-c", "> "+mark), nil)
	// It waits in poll(2), or soon will; the program it is stays the stage.
	poll(t, "the stage sleeps", func() bool {
		data, err := os.ReadFile(procPath(p.PID, "status"))
		return err == nil && strings.HasPrefix(procStatus(string(data))["State"], "S")
	})
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("the agent ran before Release")
	}
	finish(t, p)
	if _, err := os.Stat(mark); err != nil {
		t.Error(err)
	}
}

// TestNoRelease takes the five seconds of wire.GoTimeout, beside other tests.
func TestNoRelease(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	mark := filepath.Join(t.TempDir(), "ran")
	began := time.Now()
	p := h.start(t, command("/bin/sh", "-c", "> "+mark), h.seal(t, map[string]string{"A": "hidden-value"}))
	poll(t, "the stage ends by itself", func() bool { return ended(p.PID) })
	if took := time.Since(began); took < wire.GoTimeout-100*time.Millisecond {
		t.Errorf("after %s", took)
	}
	failure(t, p, "cannot hear from the launcher that the run record is on disk: connection timed out", wire.StepGo, 125)
	if _, err := os.Stat(mark); err == nil {
		t.Error("the agent ran")
	}
}

func TestNoReleaseThenWait(t *testing.T) {
	t.Parallel()
	h := newHost(t)
	p := h.start(t, command("/bin/true"), nil)
	exit, err := p.Wait(withDeadline(t))
	if err != nil || exit.Code != 125 || exit.Began {
		t.Errorf("%v, %v", exit, err)
	}
}

// TestStarterDies: a launcher that is killed before the run record is on disk
// leaves no agent and no stage.
func TestStarterDies(t *testing.T) {
	h := newHost(t)
	dir := publicDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(dir, "ran")
	s := h.startElsewhere(t, order{Spec: command("/bin/sh", "-c", "> "+mark)}, h.seal(t, map[string]string{"A": "v"}))
	stage := pidfdOf(t, s.PID)
	began := time.Now()
	s.kill()
	poll(t, "the stage ends", func() bool { return dead(stage) })
	if took := time.Since(began); took >= wire.GoTimeout {
		t.Errorf("the stage outlived its starter by %s: it noticed only the silence", took)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the agent ran")
	}
}

func TestStageIsKilled(t *testing.T) {
	h := newHost(t)
	p := h.start(t, command("/bin/true"), nil)
	if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	err := p.Release()
	wantError(t, err, "cannot start agent tester: the stage died before it became the agent (signal: killed)")
	if !errors.Is(err, wire.ErrDied) {
		t.Error("not wire.ErrDied")
	}
}

// TestStageInheritsNothing: no variable of the launcher, where a token might
// be, reaches keeper, masker or stage.
func TestStageInheritsNothing(t *testing.T) {
	needRoot(t) // they are non-dumpable
	t.Setenv("AGENT_LAUNCHER_TEST_TOKEN", "the launcher's own")
	h := newHost(t)
	p := h.start(t, command("/bin/true"), nil)
	below, err := tree.Below(h.PID())
	if err != nil || len(below) != 2 {
		t.Fatalf("%v, %v", below, err)
	}
	for _, pid := range append(below, h.PID()) {
		environ, err := os.ReadFile(procPath(pid, "environ"))
		if err != nil || strings.Contains(string(environ), "TOKEN") || strings.Contains(string(environ), "PATH=") {
			t.Errorf("pid %d: %q, %v", pid, environ, err)
		}
		if cwd, err := os.Readlink(procPath(pid, "cwd")); cwd != "/" {
			t.Errorf("pid %d: %s, %v", pid, cwd, err)
		}
	}
	p.Cancel()
}

func TestCancel(t *testing.T) {
	h := newHost(t)
	p := h.start(t, command("/bin/true"), nil)
	p.Cancel()
	p.Cancel() // harmless
	_ = p.Signal(syscall.SIGKILL)
	if exit, err := p.Wait(withDeadline(t)); err != nil || exit.Began {
		t.Errorf("Wait after Cancel: %v, %v", exit, err)
	}
	if err := p.Release(); err == nil {
		t.Error("a cancelled process was released")
	}
}
