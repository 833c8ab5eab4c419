package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// explain: what an operator asks when an agent may not, or does not run.
func TestExplain(t *testing.T) {
	h := newHost(t)
	must(t, os.WriteFile(h.path("data"), []byte("x"), 0o644))
	h.addAgent("a", agent{command: "/bin/sh", heartbeat: off, args: []string{"-c",
		"cat " + h.path("data") + "; echo 'Permission denied: \"/etc/passwd\"'; printf 'EACCES /\\033]0;title\\007\\n'; true"}})
	h.addAgent("b", agent{command: "/bin/true", heartbeat: off})
	h.writeJSON("adapters.d/bad.json", map[string]any{"id": "bad", "companyId": h.company, "adapterType": "process", "sandbx": 1})
	h.start()
	explain := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := h.cli(append([]string{"explain"}, args...)...)
		if code != 0 || strings.Contains(stdout, "\x1b") {
			t.Fatalf("%v: exit %d, %q %s", args, code, stdout, stderr)
		}
		return stdout
	}
	expect := func(out string, says ...string) {
		t.Helper()
		for _, s := range says {
			if !strings.Contains(strings.Join(strings.Fields(out), " "), s) {
				t.Errorf("nothing of %q in\n%s", s, out)
			}
		}
	}
	out := explain("a")
	expect(out, "its heartbeat is off in its file, so only agent-launcher wake a starts it; it has not run yet", "runs as uid", "workspace: Landlock ABI",
		h.path("work")+" (its working directory)", "read+execute /bin/sh (its program), /usr", "connects to TCP all; listens on TCP all; UDP; no unix sockets", "groups of system calls")
	if n := strings.Count(out, "\n"); n > 14 || strings.Contains(out, "CANNOT START") {
		t.Errorf("%d lines:\n%s", n, out)
	}
	if w := h.wake("a"); w.Run == nil {
		t.Fatalf("%+v", w.Heartbeat)
	}
	expect(explain("a"), "its last run ended", h.path("data")+" (file)", "read NO no rule opens it",
		`add to a.json: "sandbox": {"read": ["`+h.path("data")+`"]}`, "/etc/passwd (file) read yes rule /etc/passwd: names of uids")
	expect(explain("a", h.path("token"), ":443", h.path("state/agents/b/home")), "read NO it is the launcher's own, which no policy can open",
		":443 (port) connect yes profile workspace leaves the network open", "read NO it is another agent's own directory")
	expect(explain("a", "--all"), "read /etc/hosts: host names", "denied kernel modules")
	expect(explain("bad"), "not running its file was never valid: "+h.path("adapters.d/bad.json"), "sandbx")

	var x control.Explanation
	must(t, json.Unmarshal([]byte(explain("a", "--json", "/usr/bin")), &x))
	if len(x.Verdicts) != 1 || x.Verdicts[0].Kind != "directory" || !x.Verdicts[0].Uses[0].Allowed || x.Policy == nil {
		t.Errorf("%+v", x.Verdicts)
	}
	h.write("adapters.d/b.json", []byte("{"))
	h.eventually("the file's problem shows", func() bool { return h.agentStatus("b").ConfigError != "" })
	expect(explain("b"), "its file has a problem and its last good configuration holds")
	_, _, _ = h.cli("stop", "a")
	expect(explain("a"), "an operator stopped it: agent-launcher wake a lets it go")
	for _, args := range [][]string{{"explain"}, {"explain", "a", "relative"}, {"explain", "a", ":0"}, {"explain", "a", ":x"}} {
		if _, stderr, code := h.cli(args...); code != 2 {
			t.Errorf("%v: exit %d, %s", args, code, stderr)
		}
	}
	for _, about := range []control.Subjects{{Paths: []string{"relative"}}, {Paths: []string{"/a\x00"}}, {Paths: []string{"/" + strings.Repeat("x", 4096)}},
		{Paths: make([]string, 65)}, {Ports: []uint16{0}}} {
		if x, err := control.NewClient(h.socket).Explain(t.Context(), "a", about); err == nil {
			t.Errorf("%.100v: %+v", about, x)
		}
	}
	if _, stderr, code := h.cli("explain", "nobody"); code != 1 || !strings.Contains(stderr, "no such agent") {
		t.Errorf("exit %d, %s", code, stderr)
	}
	h.stop()
}
