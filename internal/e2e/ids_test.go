package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// long runs until it is stopped; a second run of the same agent id beside it
// leaves a trace.
var long = agent{command: "/bin/sh", args: []string{"-c",
	`mkdir "$PAPERCLIP_AGENT_ID" || echo overlap >> overlaps; trap 'rmdir "$PAPERCLIP_AGENT_ID"; exit' TERM; sleep 300 & wait`}}

func (h *host) waitFor(name, state string) control.Agent {
	h.t.Helper()
	var a control.Agent
	h.eventually(name+" is "+state, func() bool { a = h.agentStatus(name); return a.State == state })
	return a
}

func (h *host) rename(from, to string) {
	h.t.Helper()
	must(h.t, os.Rename(h.path("adapters.d/"+from+".json"), h.path("adapters.d/"+to+".json")))
}

func (h *host) noOverlap() {
	h.t.Helper()
	if _, err := os.Stat(h.path("work/overlaps")); err == nil {
		h.t.Error("two runs of one agent id at the same time")
	}
}

// wakeLater wakes and waits in the background.
func (h *host) wakeLater(name string) <-chan *control.Woken {
	woken := make(chan *control.Woken, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		w, err := control.NewClient(h.socket).Wake(ctx, name, control.Wake{}, true)
		if err != nil {
			w = &control.Woken{Heartbeat: &control.Heartbeat{Error: err.Error()}}
		}
		woken <- w
	}()
	h.eventually("the wake is taken", func() bool { return strings.Contains(h.logTail(), `"msg":"woken by an operator","agent":"`+name+`"`) })
	return woken
}

// Two files swap their agents: the one that is to run what the other's run
// still is waits, says for whom, and can be stopped and woken meanwhile.
func TestSwappedFiles(t *testing.T) {
	h := newHost(t)
	ids := map[string]string{"a": h.addAgent("a", agent{command: "true"}), "b": h.addAgent("b", long)}
	h.start()
	pid := h.waitFor("b", control.StateRunning).Run.PID
	h.rename("a", ".x")
	h.rename("b", "a")
	h.rename(".x", "b")
	a := h.waitFor("a", control.StateWaiting)
	if a.ID != ids["b"] || a.WaitsFor != "b" {
		t.Errorf("a is %s and waits for %q", a.ID, a.WaitsFor)
	}
	if out, _, _ := h.cli("status"); !strings.Contains(out, "a: waits for the end of a run of the same agent id, begun as b") {
		t.Errorf("status:\n%s", out)
	}
	woken := h.wakeLater("a")
	if _, stderr, code := h.cli("stop", "a"); code != 0 {
		t.Fatalf("stop a: %s", stderr)
	}
	if w := <-woken; w.Run != nil || !strings.Contains(w.Heartbeat.Error, "stopped") {
		t.Errorf("the wake: %+v", w.Heartbeat)
	}
	if r := h.agentStatus("b").Run; r == nil || r.PID != pid {
		t.Error("the stop of a touched the run of b")
	}
	if _, stderr, code := h.cli("wake", "a"); code != 0 {
		t.Fatalf("wake a: %s", stderr)
	}
	h.waitFor("a", control.StateWaiting)
	h.cli("stop", "b")
	h.waitFor("a", control.StateRunning)
	for range 10 { // back and forth, whatever the watcher makes of it
		h.rename("a", ".x")
		h.rename("b", "a")
		h.rename(".x", "b")
		h.cli("wake", "a")
		h.cli("wake", "b")
	}
	h.stop()
	h.noOverlap()
}

// A file is renamed and renamed back: the run goes on, and whoever waits for
// the name between them gets an answer.
func TestRenamedBack(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", long)
	h.start()
	pid := h.waitFor("a", control.StateRunning).Run.PID
	h.rename("a", "b")
	if b := h.waitFor("b", control.StateWaiting); b.WaitsFor != "a" {
		t.Errorf("b waits for %q", b.WaitsFor)
	}
	woken := h.wakeLater("b")
	h.rename("b", "a")
	if w := <-woken; w.Run != nil || !strings.Contains(w.Heartbeat.Error, "gone") {
		t.Errorf("the wake of b: %+v", w.Heartbeat)
	}
	if r := h.waitFor("a", control.StateRunning).Run; r.PID != pid {
		t.Errorf("pid %d, want %d", r.PID, pid)
	}
	h.rename("a", "b")
	h.waitFor("b", control.StateWaiting)
	h.cli("stop", "a")
	h.waitFor("b", control.StateRunning)
	h.stop()
	h.noOverlap()
}

// A copy beside a file, whichever comes first: the agent goes on, the copy does
// not start, and both files are named.
func TestCopiedFiles(t *testing.T) {
	h := newHost(t)
	h.addAgent("m", long)
	h.start()
	pid := h.waitFor("m", control.StateRunning).Run.PID
	data, err := os.ReadFile(h.path("adapters.d/m.json"))
	must(t, err)
	for _, copied := range []string{"a", "z"} {
		h.write("adapters.d/"+copied+".json", data)
		said := func() string { return strings.Join(h.status().Problems, "\n") + h.agentStatus("m").ConfigError }
		h.eventually("both files are named", func() bool {
			s := said()
			return strings.Contains(s, "adapters.d/m.json") && strings.Contains(s, "adapters.d/"+copied+".json") && strings.Contains(s, "the same agent as in")
		})
		if _, stderr, code := h.cli("wake", copied, "--wait"); code != 1 || !strings.Contains(stderr, "no such agent") {
			t.Errorf("wake %s: %d %q", copied, code, stderr)
		}
		if r := h.agentStatus("m").Run; r == nil || r.PID != pid {
			t.Errorf("the copy %s touched the run", copied)
		}
		must(t, os.Remove(h.path("adapters.d/"+copied+".json")))
		h.eventually("the problem is gone", func() bool { return said() == "" })
	}
	h.stop()
	h.noOverlap()
}

// A run of an earlier daemon keeps its agent id, whatever becomes of the files.
func TestSwappedAroundAdoption(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	h.addAgent("b", long)
	h.start()
	h.waitFor("b", control.StateRunning)
	h.kill()
	h.rename("a", ".x")
	h.rename("b", "a")
	h.rename(".x", "b")
	h.start()
	h.waitFor("a", control.StateRunning) // adopted
	h.rename("a", ".x")
	h.rename("b", "a")
	h.rename(".x", "b")
	if b := h.waitFor("b", control.StateWaiting); !strings.Contains(b.WaitsFor, "earlier") {
		t.Errorf("b waits for %q", b.WaitsFor)
	}
	h.cli("stop", "a")
	h.waitFor("b", control.StateRunning)
	h.stop()
	h.noOverlap()
}
