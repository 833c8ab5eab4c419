package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// buildAttacker builds it where the other programs are, once.
func (h *host) buildAttacker(t *testing.T) string { return h.buildTestdata(t, "attacker") }

func (h *host) buildTestdata(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(h.bin.Dir, name)
	if _, err := os.Stat(program); err == nil {
		return program
	}
	build := exec.Command("go", "build", "-o", h.path(name), "./testdata/"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	must(t, os.Chmod(h.path(name), 0o755))
	must(t, os.Rename(h.path(name), program)) // another test may have been as fast
	return program
}

// try is one attack. What is stopped by a policy must work without one, or the
// attack itself is broken.
type try struct {
	attack, target string
	want           string
}

const (
	stopped = "works without a sandbox, fails with it"
	allowed = "works with the sandbox"
	denied  = "never works"
)

func (h *host) attacks(t *testing.T, attacker string, policy map[string]any, tries []try) {
	t.Helper()
	var args []string
	for _, x := range tries {
		args = append(args, x.attack, x.target)
	}
	free := h.attack(t, attacker, args, map[string]any{"profile": "off"})
	confined := h.attack(t, attacker, args, policy)
	if len(free) != len(tries) || len(confined) != len(tries) {
		t.Fatalf("%d and %d answers to %d attacks", len(free), len(confined), len(tries))
	}
	for i, x := range tries {
		if free[i] != "done" && x.want == stopped {
			t.Errorf("%s %s without a sandbox: %s: the attack itself does not work", x.attack, x.target, free[i])
		}
		if done := confined[i] == "done"; done != (x.want == allowed) || !done && !denial(confined[i]) {
			t.Errorf("%s %s: %s; want %s", x.attack, x.target, confined[i], x.want)
		}
	}
}

// attack runs the attacker as an agent in the foreground.
func (h *host) attack(t *testing.T, attacker string, args []string, policy map[string]any) []string {
	t.Helper()
	record := map[string]any{"name": "attacker", "adapterType": "process", "hostId": h.id,
		"adapterConfig": map[string]any{"command": attacker, "args": args, "cwd": h.path("work")}}
	file := maps.Clone(record)
	delete(file, "hostId")
	file["id"], file["companyId"] = h.plane.CreateAgent(h.company, record), h.company
	file["runtimeConfig"] = map[string]any{"heartbeat": off} // the daemon leaves it alone
	if policy != nil {
		file["sandbox"] = policy
	}
	h.writeJSON("adapters.d/attacker.json", file)
	stdout, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, "attacker"))
	if code != 0 {
		t.Fatalf("the attacker did not run: exit %d, %s%s", code, stdout, stderr)
	}
	return strings.Split(strings.TrimSpace(stdout), "\n")
}

func denial(out string) bool {
	for _, text := range []string{"permission denied", "operation not permitted", "function not implemented", "protocol not supported", "bad system call",
		"may not control", "serves no agent", "the keeper starts no", "the launcher's uid", "file too large", "too many open files", "resource temporarily unavailable"} {
		if strings.Contains(out, text) {
			return true
		}
	}
	return false
}
