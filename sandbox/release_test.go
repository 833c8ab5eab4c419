package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/sandbox"
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
	if err != nil || exit != (sandbox.Exit{Known: true, Code: 125}) {
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

// TestStageIsAnotherProgram: half of an upgrade, or an operator's mistake.
func TestStageIsAnotherProgram(t *testing.T) {
	h := newHost(t)
	for program, want := range map[string]string{
		"/bin/true":  "the stage died before it became the agent (exit status 0)",
		"/bin/false": "the stage died before it became the agent (exit status 1)",
	} {
		p, err := sandbox.New(program, h.key).Start(command("/bin/true"), nil, unconfined())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Cancel)
		wantError(t, p.Release(), "cannot start agent tester: "+want)
	}
	chatty := filepath.Join(h.dir, "chatty")
	script(t, chatty, 0o755, "#!/bin/sh\nexec printf nonsense >&7\n")
	p, err := sandbox.New(chatty, h.key).Start(command("/bin/true"), nil, unconfined())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Cancel)
	wantError(t, p.Release(), "cannot start agent tester: stage wrote 8 unexpected bytes")
}

// TestStageInheritsNothing: no variable of the launcher, where a token might
// be, reaches the stage.
func TestStageInheritsNothing(t *testing.T) {
	h := newHost(t)
	t.Setenv("AGENT_LAUNCHER_TEST_TOKEN", "the launcher's own")
	spy := filepath.Join(h.dir, "spy")
	script(t, spy, 0o755, "#!/bin/sh\npwd; cat /proc/$$/environ\n")
	p, err := sandbox.New(spy, h.key).Start(command("/bin/true"), nil, unconfined())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Cancel)
	if got := readAll(t, p); got != "/\nGOMAXPROCS=1\x00GOGC=off\x00GOTRACEBACK=none\x00" {
		t.Errorf("%q", got)
	}
}

func TestCancel(t *testing.T) {
	h := newHost(t)
	p := h.start(t, command("/bin/true"), nil)
	p.Cancel()
	p.Cancel() // harmless
	p.Signal(syscall.SIGKILL)
	if _, err := p.Wait(withDeadline(t)); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Wait after Cancel: %v", err)
	}
	if err := p.Release(); err == nil {
		t.Error("a cancelled process was released")
	}
}
