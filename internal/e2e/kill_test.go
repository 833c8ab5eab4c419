package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// kill -9 of the daemon again and again, until 200 agents have started: every
// one of them has a run record, no file is left that a run does not explain,
// and the next daemon starts without help.
func TestKillDuringLaunches(t *testing.T) {
	h := newHost(t)
	started := h.path("work/started")
	must(t, os.Mkdir(started, 0o755))
	secret := h.plane.CreateSecret(h.company, "TOKEN", secretValue(1, 1))
	for i := range 20 {
		h.addAgent(fmt.Sprintf("agent%02d", i), agent{
			env:     map[string]any{"TOKEN": ref(secret, "latest")},
			command: "/bin/sh", args: []string{"-c", `: > "` + started + `/$PAPERCLIP_RUN_ID"`},
		})
	}
	count := func() int {
		entries, err := os.ReadDir(started)
		must(t, err)
		return len(entries)
	}
	kills := 0
	for ; count() < 200; kills++ {
		h.start()
		before := count()
		h.eventually("launches to kill into", func() bool { return count() >= before+1+kills%17 })
		h.kill()
	}
	t.Logf("%d launches, %d kills", count(), kills)
	noStages(t, h)
	records := h.records()
	entries, err := os.ReadDir(started)
	must(t, err)
	for _, e := range entries {
		if r, ok := records[e.Name()]; !ok || r.RunID != e.Name() {
			t.Errorf("agent of run %s ran without a record", e.Name())
		}
	}
	onlyKnownFiles(t, h)
	h.start()
	h.eventually("every run of the killed daemons is closed", func() bool {
		for id, r := range h.records() {
			if _, old := records[id]; old && r.State != "ended" && r.State != "lost" && r.State != "failed" {
				return false
			}
		}
		return true
	})
	h.stop()
}

// noStages waits for stages without a daemon to end, which takes them no time:
// their go pipe is closed.
func noStages(t *testing.T, h *host) {
	t.Helper()
	h.eventually("no stage is left", func() bool {
		for pid, argv := range commands() {
			target, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
			if err == nil && target == h.bin.Stage && argv == "agent-launcher-stage\x00stage\x00" {
				return false
			}
		}
		return true
	})
}

// onlyKnownFiles fails on anything in the state directory but locks, the
// keeper's socket, records, logs and the agents' own directories.
func onlyKnownFiles(t *testing.T, h *host) {
	t.Helper()
	known := regexp.MustCompile(`^(lock|keeper\.sock|runs/\.locks/[0-9a-f-]{36}|runs/agent\d\d/[0-9a-f-]{36}\.(jsonl|log))$`)
	err := filepath.WalkDir(h.path("state"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if rel := strings.TrimPrefix(path, h.path("state")+"/"); !known.MatchString(rel) {
			t.Errorf("left behind: %s", rel)
		}
		return nil
	})
	must(t, err)
}

// An agent that outlives a killed daemon is adopted by the next: known to
// status, ended by stop, and never started twice.
func TestAdoption(t *testing.T) {
	h := newHost(t)
	h.addAgent("sleeper", agent{command: "/bin/sleep", args: []string{"300"}})
	h.start()
	var pid int
	h.eventually("the agent runs", func() bool {
		if r := h.agentStatus("sleeper").Run; r != nil && r.State == "running" {
			pid = r.PID
		}
		return pid != 0
	})
	h.kill()
	h.start()
	h.eventually("the agent is adopted", func() bool {
		r := h.agentStatus("sleeper").Run
		return r != nil && r.PID == pid
	})
	if _, stderr, code := h.cli("stop", "sleeper"); code != 0 {
		t.Fatalf("stop: %d %s", code, stderr)
	}
	if err := exec.Command("kill", "-0", fmt.Sprint(pid)).Run(); err == nil {
		t.Error("the agent lives on after stop")
	}
	if n := len(h.records()); n != 1 {
		t.Errorf("%d runs, want the one that was adopted", n)
	}
	h.stop()
}
