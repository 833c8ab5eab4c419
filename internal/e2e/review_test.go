package e2e

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// A stray file among the records does not keep a run from being adopted.
func TestAdoptionBesideStrayFiles(t *testing.T) {
	h := newHost(t)
	h.addAgent("sleeper", agent{command: "/bin/sleep", args: []string{"300"}})
	h.start()
	running := func() bool { r := h.agentStatus("sleeper").Run; return r != nil && r.State == "running" }
	h.eventually("the agent runs", running)
	pid := h.agentStatus("sleeper").Run.PID
	h.kill()
	must(t, os.WriteFile(h.path("state/runs/notes.txt"), nil, 0o600))
	h.start()
	h.eventually("it is adopted", running)
	if got := h.agentStatus("sleeper").Run.PID; got != pid {
		t.Errorf("pid %d, want %d: a second one was started", got, pid)
	}
	h.cli("stop", "sleeper")
	h.stop()
}

// A wake outlives a reload that replaces what it waits with, and a stop
// answers who waits.
func TestWakeIsNotLost(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	h.proxy.turn(func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })
	h.start()
	woken := make(chan *control.Woken, 1)
	wake := func() {
		w, err := control.NewClient(h.socket).Wake(context.Background(), "a", true)
		if err != nil {
			t.Error(err)
		}
		woken <- w
	}
	answer := func() *control.Woken {
		select {
		case w := <-woken:
			return w
		case <-time.After(15 * time.Second):
			t.Fatalf("nobody answers the wake\n%s", h.logTail())
			return nil
		}
	}
	resolving := func() bool { return h.agentStatus("a").State == control.StateResolving }
	go wake()
	h.eventually("it waits for the control plane", resolving)
	if _, stderr, code := h.cli("reload"); code != 0 {
		t.Fatal(stderr)
	}
	h.eventually("it waits again after the reload", resolving)
	h.proxy.turn(nil)
	if w := answer(); w.Run == nil || w.Run.State != "ended" {
		t.Errorf("after a reload: %+v", w.Heartbeat)
	}
	h.proxy.turn(func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })
	go wake()
	h.eventually("it waits for the control plane", resolving)
	h.cli("stop", "a")
	if w := answer(); w.Run != nil || !strings.Contains(w.Heartbeat.Error, "stopped") {
		t.Errorf("after a stop: %+v", w)
	}
	h.stop()
}
