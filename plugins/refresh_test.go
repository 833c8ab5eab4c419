package plugins

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// version is a program that behaves as name does and has another hash.
func version(t testing.TB, name, mark string) []byte {
	return append(program(t, name), mark...)
}

func swapHost(t *testing.T) (h *Host, path string, log func() string) {
	dir := ownDir(t, map[string]string{"obey": "obey"})
	entries := make(chan Entry, 1000)
	h = newHost(t, func(o *Options) { o.Dir, o.Log = dir, func(e Entry) { entries <- e } })
	return h, filepath.Join(dir, "obey"), func() (all string) {
		for len(entries) > 0 {
			all += (<-entries).Message + "\n"
		}
		return all
	}
}

func fault(t *testing.T, h *Host) Status {
	t.Helper()
	all, err := h.Status()
	if err != nil || len(all) != 1 {
		t.Fatalf("status: %+v %v", all, err)
	}
	return all[0]
}

// TestNewVersion: the old process goes on with its call and ends after it,
// while the new one takes the next.
func TestNewVersion(t *testing.T) {
	h, path, log := swapHost(t)
	old := pidOf(t, h, "pid")
	h.Refresh()
	if again := pidOf(t, h, "pid"); again != old {
		t.Fatal("replaced without a change")
	}
	ctx, cancel := context.WithCancel(context.Background())
	answer := make(chan error, 1)
	go func() { _, err := h.Plan(ctx, "obey", do("hang")); answer <- err }()
	eventually(t, "the call is under way", func() bool { return calls(h) == 1 })
	put(t, path, version(t, "obey", "2"))
	h.Refresh()
	next := pidOf(t, h, "pid")
	if next == old || gone(old) {
		t.Errorf("pid %d, then %d", old, next)
	}
	if st := fault(t, h); st.PID != next || st.Fault != "" || !strings.Contains(log(), "a new version serves") {
		t.Errorf("%+v", st)
	}
	cancel()
	if err := <-answer; err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("the call of the old one: %v", err)
	}
	eventually(t, "the old one ends", func() bool { return gone(old) })
	if now := pidOf(t, h, "pid"); now != next {
		t.Errorf("%d, then %d", next, now)
	}
}

func calls(h *Host) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.slots["obey"].cur.inst.calls
}

// TestBrokenVersion: whatever is wrong with the new file, the old one serves.
func TestBrokenVersion(t *testing.T) {
	h, path, log := swapHost(t)
	old := pidOf(t, h, "pid")
	for _, c := range []struct {
		file []byte
		says string
	}{
		{[]byte("no program\n"), "neither a program of this machine"},
		{nil, "neither a program of this machine"},
		{program(t, "obey")[:1<<20], "cannot start"}, // half a copy
		{[]byte("#!/bin/sh\necho no >&2; exit 5\n"), "it ended (exit status 5) before it answered; it said: no"},
		{program(t, "process"), `type: is "process", and the file's name "obey"`},
	} {
		put(t, path, c.file)
		h.Refresh()
		st := fault(t, h)
		if pid := pidOf(t, h, "pid"); pid != old || st.PID != old || !strings.Contains(st.Fault, c.says) {
			t.Errorf("%s: pid %d, then %d, %+v", c.says, old, pid, st)
		}
		if said := log(); strings.Count(said, "does not serve") != 1 || !strings.Contains(said, c.says) {
			t.Errorf("%s: logged %s", c.says, said)
		}
	}
	put(t, path, version(t, "obey", "mended"))
	h.Refresh()
	if st, pid := fault(t, h), pidOf(t, h, "pid"); pid == old || st.Fault != "" {
		t.Errorf("mended: pid %d, then %d, %+v", old, pid, st)
	}
	put(t, path, nil)
	h.Refresh()
	put(t, path, version(t, "obey", "again")) // nobody says so, but the old one crashes
	if _, err := h.Plan(context.Background(), "obey", do("crash")); err == nil {
		t.Error("no crash")
	}
	pidOf(t, h, "pid")
	if st := fault(t, h); st.Fault != "" {
		t.Errorf("after a crash: %+v", st)
	}
}

func TestRemovedPluginEnds(t *testing.T) {
	h, path, _ := swapHost(t)
	old := pidOf(t, h, "pid")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	h.Refresh()
	eventually(t, "it ends", func() bool { return gone(old) })
	if _, err := h.Plan(context.Background(), "obey", do("pid")); err == nil || !strings.Contains(err.Error(), "no such plugin") {
		t.Errorf("removed: %v", err)
	}
	put(t, path, program(t, "obey"))
	if pid := pidOf(t, h, "pid"); pid == old {
		t.Error("not a new process")
	}
}

// TestSwapUnderLoad: no call notices that versions come and go.
func TestSwapUnderLoad(t *testing.T) {
	h, path, _ := swapHost(t)
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error, 4)
	for range cap(failed) {
		go func() {
			for ctx.Err() == nil {
				if _, err := h.Plan(context.Background(), "obey", adapter.PlanRequest{Config: []byte(`{"do":"pid"}`)}); err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for _, mark := range []string{"2", "3", "4"} {
		put(t, path, version(t, "obey", mark))
		h.Refresh()
	}
	cancel()
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// TestIdlePluginThatHangs is noticed by nobody's call.
func TestIdlePluginThatHangs(t *testing.T) {
	h := newHost(t, func(o *Options) { o.healthInterval = probeTimeout / 10 })
	pid := pidOf(t, h, "pid")
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the stopped plugin is ended", func() bool { return len(h.PIDs()) == 0 })
	if next := pidOf(t, h, "pid"); next == pid {
		t.Error("not a new process")
	}
}
