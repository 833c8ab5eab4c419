package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A pinned plugin runs while its file has that hash, and a reload changes pins.
func TestPins(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	program, err := os.ReadFile(filepath.Join(h.bin.Plugins, "process"))
	must(t, err)
	right, wrong := fmt.Sprintf("%x", sha256.Sum256(program)), strings.Repeat("0", 64)
	pin := func(name, sum string) {
		h.configure(map[string]any{"plugins": map[string]any{name: map[string]any{"sha256": sum}}})
	}
	check := func(code int, says ...string) {
		t.Helper()
		stdout, stderr, got := runCommand(t, exec.Command(h.bin.Launcher, "check", "--config", h.config))
		for _, s := range says {
			if got != code || !strings.Contains(stderr, s) {
				t.Errorf("check: exit %d, %s%s, want %q", got, stdout, stderr, s)
			}
		}
	}
	reload := func() {
		t.Helper()
		if _, stderr, code := h.cli("reload"); code != 0 {
			t.Fatalf("reload: %d %s", code, stderr)
		}
	}
	pin("process", right)
	check(0, "")
	h.start()
	if w := h.wake("a"); w.Run == nil {
		t.Fatalf("nothing started: %s", w.Heartbeat.Error)
	}
	pin("process", wrong)
	check(78, "$.plugins.process.sha256: adapter process: its file is not the pinned one: want SHA-256 000", "got "+right, "hint: put the pinned version back")
	reload()
	if w := h.wake("a"); w.Run != nil || !strings.Contains(w.Heartbeat.Error, "want SHA-256 "+wrong+", got "+right) {
		t.Errorf("a plugin with another hash: %+v", w)
	}
	pin("nonesuch", right)
	check(78, "$.plugins.nonesuch.sha256: adapter nonesuch: no such plugin")
	reload() // what is missing keeps nobody else from running
	if w := h.wake("a"); w.Run == nil {
		t.Errorf("nothing started: %s", w.Heartbeat.Error)
	}
}
