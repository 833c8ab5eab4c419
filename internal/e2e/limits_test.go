package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"testing"
)

// set changes a key of the configuration before the daemon starts.
func (h *host) set(key string, value any) {
	h.t.Helper()
	data, err := os.ReadFile(h.config)
	must(h.t, err)
	var config map[string]any
	must(h.t, json.Unmarshal(data, &config))
	if config[key] = value; value == nil {
		delete(config, key)
	}
	h.writeJSON("config.json", config)
}

// ownUIDs gives each agent a uid of its own, where that is possible.
func (h *host) ownUIDs() {
	if os.Geteuid() == 0 {
		h.set("uidRange", []int{61184, 61300})
	}
}

// Limits hold without a sandbox, and nobody raises them.
func TestLimits(t *testing.T) {
	h := newHost(t)
	h.ownUIDs()
	h.start()
	// nproc counts all processes of the uid: as an ordinary user those of this test, too.
	limits := map[string]any{"nofile": 64, "fsize": 65536, "nproc": 400}
	free := h.puppet(t, "free", agent{sandbox: map[string]any{"profile": "off"}})
	limited := h.puppet(t, "limited", agent{sandbox: map[string]any{"profile": "off", "limits": limits}})
	for _, try := range [][2]string{{"open-many", "100"}, {"big-file", "100000"}, {"fork-many", "400"}} {
		free.works(try[0], try[1])
		limited.denied(try[0], try[1])
	}
	for _, name := range []string{"nofile", "fsize", "nproc", "core"} {
		limited.denied("raise", name)
	}
	free.denied("raise", "core")
	free.denied("core", "")
	h.stop()
	t.Setenv("TMPDIR", t.TempDir())
	if says := outside(t, h.buildAttacker(t), "core", ""); says != "done" {
		t.Logf("no core outside of the sandbox either: %s", says)
	}
}

// A fork bomb stays below nproc, the daemon and the keeper go on meanwhile, and
// stop ends all of it.
func TestForkBomb(t *testing.T) {
	h := newHost(t)
	h.ownUIDs()
	h.addAgent("quick", agent{command: "true", heartbeat: off})
	h.start()
	bomb := h.puppet(t, "bomb", agent{sandbox: map[string]any{"limits": map[string]any{"nproc": 300}}})
	bomb.order("bomb", bomb.marker())
	h.eventually("it goes off", func() bool { return len(marked(bomb.marker())) > 20 })
	if r := h.wake("quick").Run; r == nil || r.ExitCode == nil || *r.ExitCode != 0 {
		t.Errorf("another agent meanwhile: %+v", r)
	}
	if n := len(marked(bomb.marker())); n > 300 {
		t.Errorf("%d processes", n)
	}
	if _, stderr, code := h.cli("stop", "bomb"); code != 0 {
		t.Errorf("stop: exit %d, %s", code, stderr)
	}
	h.eventually("nothing of it is left", func() bool { return len(marked(bomb.marker())) == 0 })
	h.wake("quick")
	h.stop()
}

// What the daemon itself inherited reaches no agent.
func TestInheritedDescriptor(t *testing.T) {
	h := newHost(t)
	attacker := h.buildAttacker(t)
	secret, err := os.Open(h.path("token"))
	must(t, err)
	defer secret.Close()
	h.with = func(cmd *exec.Cmd) { cmd.ExtraFiles = []*os.File{nil, secret} }
	plain := exec.Command(attacker, "fds", h.path("token"))
	h.with(plain)
	if stdout, _, _ := runCommand(t, plain); stdout != "done\n" {
		t.Errorf("%q: the attack itself does not work", stdout)
	}
	h.start()
	h.puppet(t, "free", agent{sandbox: map[string]any{"profile": "off"}}).denied("fds", h.path("token"))
	h.stop()
}
