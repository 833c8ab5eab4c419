package e2e

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func randomText() string { return rand.Text() }

// The first promise, attacked by looking: after 100 heartbeats of 20 agents
// and 20 rotations there is no value and no private key in the live daemon,
// in any plugin, in any file of theirs, in an argv, in status or in a debug log.
func TestNoValueAnywhere(t *testing.T) {
	h := newHost(t)
	canaries := []string{h.seed}
	secrets := make([]string, 20)
	for i := range secrets {
		value := secretValue(i, 1)
		canaries = append(canaries, value)
		secrets[i] = h.plane.CreateSecret(h.company, fmt.Sprintf("S%d", i), value)
		h.addAgent(fmt.Sprintf("agent-%02d", i), agent{
			env: map[string]any{"TOKEN": ref(secrets[i], "latest")}, command: h.bin.DemoAgent, args: []string{"TOKEN"},
		})
	}
	h.start()
	for i, id := range secrets {
		h.eventually("five heartbeats per rotation", func() bool { return h.runsDone() >= 5*i })
		value := secretValue(i, 2)
		canaries = append(canaries, value)
		h.plane.Rotate(id, value)
	}
	h.eventually("100 heartbeats", func() bool { return h.runsDone() >= 100 })
	h.eventually("every agent got version 2", func() bool {
		for _, a := range h.status().Agents {
			if a.LastRun == nil || len(a.LastRun.Refs) != 1 || a.LastRun.Refs[0].Version != 2 {
				return false
			}
		}
		return true
	})
	status, _, _ := h.cli("status", "--json")
	must(t, os.WriteFile(h.path("status.json"), []byte(status), 0o600))

	t.Run("argv", func(t *testing.T) { noArgv(t, canaries) })
	t.Run("memory", func(t *testing.T) {
		requireScan(t)
		pids := []int{h.cmd.Process.Pid}
		for _, p := range h.status().Plugins {
			if p.PID != 0 {
				pids = append(pids, p.PID)
			}
		}
		if len(pids) < 2 {
			t.Fatalf("daemon and plugins: %v", pids)
		}
		for _, pid := range pids {
			// The daemon has the key file open while it forks a stage: that file
			// is where the key is, and its memory is what is searched.
			if code, report := memscan(t, h.bin.Memscan, canaries, "--pid", strconv.Itoa(pid), "--skip", h.path("host.key")); code != 0 {
				t.Errorf("pid %d: exit %d\n%s", pid, code, report)
			}
		}
	})
	h.stop()
	t.Run("files", func(t *testing.T) {
		// The key file itself holds the key, so it goes before the search.
		must(t, os.Remove(h.path("host.key")))
		if code, report := memscan(t, h.bin.Memscan, canaries, "--tree", h.dir, "--tree", h.plane.Dir); code != 0 {
			t.Errorf("exit %d\n%s", code, report)
		}
	})
}

// The scanner finds what is there: a launcher of the usual kind, which puts
// the value into the environment of an exec.Cmd, is full of it.
func TestScanFindsBaseline(t *testing.T) {
	requireScan(t)
	h := newHost(t)
	baseline := filepath.Join(t.TempDir(), "baseline")
	build := exec.Command("go", "build", "-o", baseline, "./testdata/baseline")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	value := secretValue(0, 1)
	cmd := exec.Command(baseline)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	_, err = fmt.Fprintln(stdin, value)
	must(t, err)
	if _, err := fmt.Fscanln(stdout, new(string)); err != nil { // it has launched its child
		t.Fatal(err)
	}
	if code, report := memscan(t, h.bin.Memscan, []string{value}, "--pid", strconv.Itoa(cmd.Process.Pid)); code != 1 {
		t.Fatalf("exit %d, want 1: the scanner does not find the copies of os/exec\n%s", code, report)
	}
}

// memscan scans from another process; the canaries travel on stdin.
func memscan(t *testing.T, path string, canaries []string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Stdin = strings.NewReader(strings.Join(canaries, "\n") + "\n")
	stdout, stderr, code := runCommand(t, cmd)
	return code, stdout + stderr
}

// requireScan skips where a non-dumpable process cannot be looked into.
func requireScan(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("scanning a non-dumpable process needs root; the file searches run for every user")
	}
}

func noArgv(t *testing.T, canaries []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for _, c := range canaries {
			if strings.Contains(string(data), c) {
				t.Errorf("%s holds a canary", file)
			}
		}
	}
}

// records reads every run record of the host from disk, as an auditor would.
func (h *host) records() map[string]record {
	h.t.Helper()
	out := map[string]record{}
	err := filepath.WalkDir(h.path("state/runs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".jsonl") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
		var r record
		if json.Unmarshal([]byte(lines[len(lines)-1]), &r) == nil {
			out[strings.TrimSuffix(filepath.Base(path), ".jsonl")] = r
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return out
}

type record struct {
	RunID string `json:"runId"`
	State string `json:"state"`
	Agent string `json:"agent"`
}

func (h *host) runsDone() int {
	n := 0
	for _, r := range h.records() {
		if r.State == "ended" {
			n++
		}
	}
	return n
}
