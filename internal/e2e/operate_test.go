package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// off is a heartbeat that only a wake starts.
var off = map[string]any{"enabled": false}

// The second promise: what a heartbeat delivers is what the control plane says
// then, and what cannot be delivered stops it, by name.
func TestVersions(t *testing.T) {
	h := newHost(t)
	latest := h.plane.CreateSecret(h.company, "LATEST", secretValue(1, 1))
	pinned := h.plane.CreateSecret(h.company, "PINNED", secretValue(2, 1))
	id := h.addAgent("a", agent{
		env:     map[string]any{"A": ref(latest, "latest"), "B": ref(pinned, 1), "MODE": "x"},
		command: h.bin.DemoAgent, args: []string{"A", "B", "MODE"}, heartbeat: off,
	})
	h.start()
	versions := func() map[string]uint32 {
		w := h.wake("a")
		if w.Run == nil {
			t.Fatalf("nothing started: %s", w.Heartbeat.Error)
		}
		out := map[string]uint32{}
		for _, r := range w.Run.Refs {
			out[r.Name] = r.Version
		}
		return out
	}
	refused := func(says ...string) {
		t.Helper()
		w := h.wake("a")
		if w.Run != nil {
			t.Fatalf("a run started: %+v", w.Run)
		}
		for _, s := range says {
			if !strings.Contains(w.Heartbeat.Error, s) {
				t.Errorf("error %q does not say %q", w.Heartbeat.Error, s)
			}
		}
	}
	if v := versions(); v["A"] != 1 || v["B"] != 1 {
		t.Fatal(v)
	}
	h.plane.Rotate(latest, secretValue(1, 2))
	h.plane.Rotate(pinned, secretValue(2, 2))
	if v := versions(); v["A"] != 2 || v["B"] != 1 {
		t.Fatal(v)
	}
	h.plane.PatchSecret(latest, map[string]any{"status": "disabled"})
	refused("A", latest, "disabled")
	h.plane.PatchSecret(latest, map[string]any{"status": "active"})
	if v := versions(); v["A"] != 2 {
		t.Fatal(v)
	}
	h.plane.PatchAgent(id, map[string]any{"status": "paused"})
	refused("agent_disabled")
	h.plane.PatchAgent(id, map[string]any{"status": "active"})
	h.plane.DeleteSecret(pinned)
	refused("B", pinned, "not_found")
	if _, stderr, code := h.cli("wake", "a", "--wait"); code != 1 || !strings.Contains(stderr, "not_found") {
		t.Errorf("wake --wait: %d %q", code, stderr)
	}
	h.stop()
}

// What the local file asks for beyond the agent's record is denied.
func TestUnboundRef(t *testing.T) {
	h := newHost(t)
	mine := h.plane.CreateSecret(h.company, "MINE", secretValue(1, 1))
	other := h.plane.CreateSecret(h.company, "OTHER", secretValue(2, 1))
	h.addAgent("a", agent{env: map[string]any{"A": ref(mine, "latest")}, command: "/bin/true", heartbeat: off})
	var file map[string]any
	data, err := os.ReadFile(h.path("adapters.d/a.json"))
	must(t, err)
	must(t, json.Unmarshal(data, &file))
	file["adapterConfig"].(map[string]any)["env"].(map[string]any)["B"] = ref(other, "latest")
	h.writeJSON("adapters.d/a.json", file)
	h.start()
	if w := h.wake("a"); w.Run != nil || !strings.Contains(w.Heartbeat.Error, "denied") || !strings.Contains(w.Heartbeat.Error, "B") {
		t.Fatalf("%+v", w.Heartbeat)
	}
	h.stop()
}

// A running agent, a stop that holds over a restart, a wake that lets go.
func TestStopHoldsUntilWake(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "/bin/sh", args: []string{"-c", "echo out; echo err >&2; exec sleep 300"}})
	h.start()
	running := func() bool { return h.agentStatus("a").State == control.StateRunning }
	h.eventually("it runs", running)
	if _, stderr, code := h.cli("stop", "a"); code != 0 {
		t.Fatalf("stop: %d %s", code, stderr)
	}
	held := func() {
		t.Helper()
		s := h.agentStatus("a")
		if s.State != control.StateHeld || s.Run != nil || s.NextHeartbeat != nil {
			t.Fatalf("not held: %+v", s)
		}
	}
	held()
	out, _, _ := h.cli("logs", "a")
	if !strings.Contains(out, "out\n") || !strings.Contains(out, "err\n") {
		t.Errorf("logs: %q", out)
	}
	_, _, code := h.cli("reload")
	if code != 0 {
		t.Fatal("reload failed")
	}
	held()
	h.stop()
	h.start()
	held()
	if n := len(h.records()); n != 1 {
		t.Errorf("%d runs", n)
	}
	if _, stderr, code := h.cli("wake", "a"); code != 0 {
		t.Fatalf("wake: %d %s", code, stderr)
	}
	h.eventually("it runs again", running)
	h.stop()
	for _, r := range h.records() {
		if r.State != "ended" {
			t.Errorf("a run is %s after SIGTERM", r.State)
		}
	}
}

// The deadline and the whole process group: a child that ignores SIGTERM in
// the background does not outlive its run.
func TestTimeoutKillsGroup(t *testing.T) {
	h := newHost(t)
	pidFile := h.path("work/child.pid")
	h.addAgent("a", agent{
		command: "/bin/sh", timeout: 1, heartbeat: off,
		args: []string{"-c", `trap '' TERM; (trap '' TERM; exec sleep 300) & echo $! > ` + pidFile + `; wait; sleep 300`},
	})
	h.start()
	w := h.wake("a")
	if w.Run == nil || w.Run.Signal != "SIGKILL" || !strings.Contains(w.Run.Reason, "timed out") {
		t.Fatalf("%+v", w.Run)
	}
	pid, err := os.ReadFile(pidFile)
	must(t, err)
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid)) + "/exe"); err == nil {
		t.Error("the child lives on")
	}
	h.stop()
}

// Adapter files come, change, break and go while the daemon runs.
func TestFilesChange(t *testing.T) {
	h := newHost(t)
	h.start()
	h.addAgent("late", agent{command: "/bin/sleep", args: []string{"300"}})
	h.eventually("a new file starts its agent", func() bool { return h.agentStatus("late").State == control.StateRunning })
	pid := h.agentStatus("late").Run.PID

	good, err := os.ReadFile(h.path("adapters.d/late.json"))
	must(t, err)
	h.write("adapters.d/late.json", []byte(strings.Replace(string(good), `"adapterType"`, `"adapterTyp"`, 1)))
	h.eventually("a bad edit shows", func() bool { return strings.Contains(h.agentStatus("late").ConfigError, "adapterTyp") })
	if r := h.agentStatus("late").Run; r == nil || r.PID != pid {
		t.Fatal("a bad edit touched the run")
	}
	h.write("adapters.d/.late.json.swp", []byte("editor"))
	h.write("adapters.d/late.json", good)
	h.eventually("a good edit clears it", func() bool { return h.agentStatus("late").ConfigError == "" })
	if r := h.agentStatus("late").Run; r == nil || r.PID != pid {
		t.Fatal("an edit touched the run")
	}
	must(t, os.Remove(h.path("adapters.d/late.json")))
	h.eventually("its file gone, the agent retires", func() bool { return h.agentStatus("late").State == control.StateRetiring })
	if r := h.agentStatus("late").Run; r == nil || r.PID != pid {
		t.Fatal("the run in progress was ended")
	}
	h.cli("stop", "late")
	h.eventually("the agent is gone", func() bool { return len(h.status().Agents) == 0 })
	h.stop()
}

// A reload with a bad config changes nothing and says why.
func TestBadReload(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "/bin/true", heartbeat: off})
	h.start()
	good, err := os.ReadFile(h.config)
	must(t, err)
	h.write("config.json", []byte(`{"controlPlane": 1, "stateDirr": "x"}`))
	_, stderr, code := h.cli("reload")
	if code != 1 || !strings.Contains(stderr, "stateDirr") {
		t.Errorf("reload: %d %q", code, stderr)
	}
	if s := h.status(); !strings.Contains(s.Config.Error, "stateDirr") || len(s.Agents) != 1 {
		t.Errorf("status: %+v", s.Config)
	}
	if w := h.wake("a"); w.Run == nil {
		t.Errorf("the old config does not hold: %+v", w.Heartbeat)
	}
	h.write("config.json", good)
	if _, stderr, code := h.cli("reload"); code != 0 {
		t.Errorf("reload: %d %q", code, stderr)
	}
	if s := h.status(); s.Config.Error != "" {
		t.Errorf("status after a good reload: %q", s.Config.Error)
	}
	h.stop()
}
