package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// lingers is serve with an end that takes a while.
const lingers = `echo "$$ $TOKEN" >> starts; trap 'sleep 2; exit' TERM; sleep 300 & wait`

// held lets requests for bundles wait until open is called, and tells of each.
func (h *host) held() (arrived <-chan struct{}, open func()) {
	in, gate := make(chan struct{}, 1000), make(chan struct{})
	h.proxy.turn(func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
		in <- struct{}{}
		<-gate
		plane.ServeHTTP(w, r)
	})
	open = sync.OnceFunc(func() { h.proxy.turn(nil); close(gate) })
	h.t.Cleanup(open) // a test that fails must not hang
	return in, open
}

// wakeWait is a wake that is waited for, in the background.
func (h *host) wakeWait(name, task string) <-chan error {
	answer := make(chan error, 1)
	go func() {
		_, err := control.NewClient(h.socket).Wake(context.Background(), name, control.Wake{Task: task}, true)
		answer <- err
	}()
	return answer
}

func (h *host) edit(name, from, to string) {
	h.t.Helper()
	data, err := os.ReadFile(h.path("adapters.d/" + name + ".json"))
	must(h.t, err)
	if !strings.Contains(string(data), from) {
		h.t.Fatalf("nothing of %s in %s", from, data)
	}
	h.write("adapters.d/"+name+".json", []byte(strings.Replace(string(data), from, to, 1)))
}

// What was ready before the old process ended is not used against a refusal of the
// host: that may be a revocation.
func TestHostDeletedMeanwhile(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	secret := h.plane.CreateSecret(h.company, "token", "first-token")
	h.addAgent("a", agent{command: "sh", args: []string{"-c", lingers}, env: map[string]any{"TOKEN": ref(secret, "latest")}, more: service()})
	h.start()
	h.eventually("it starts", func() bool { return len(h.starts()) == 1 })
	h.plane.Rotate(secret, "second-token")
	h.waitFor("a", control.StateStopping)
	h.plane.DeleteHost(h.id)
	h.eventually("the refusal is in status", func() bool {
		hb := h.agentStatus("a").LastHeartbeat
		return hb != nil && strings.Contains(hb.Error, "refuses this host") || len(h.starts()) > 1
	})
	if s := h.starts(); len(s) != 1 {
		t.Errorf("it was started with what was revoked: %q", s)
	}
}

// A service that is replaced keeps its place among maxRuns.
func TestSuccessorKeepsItsPlace(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.configure(map[string]any{"heartbeat": map[string]any{"intervalSec": 1, "jitter": 0, "maxRuns": 1}})
	secret := h.plane.CreateSecret(h.company, "token", "first-token")
	h.addAgent("a", agent{command: "sh", args: []string{"-c", serve}, env: map[string]any{"TOKEN": ref(secret, "latest")}, more: service()})
	h.start()
	h.waitFor("a", control.StateRunning)
	h.addAgent("b", agent{command: "sleep", args: []string{"300"}, more: service()})
	h.waitFor("b", control.StateWaiting)
	h.plane.Rotate(secret, "second-token")
	h.eventually("it is replaced", func() bool { return len(h.starts()) == 2 })
	h.waitFor("a", control.StateRunning)
	if b := h.agentStatus("b"); b.State != control.StateWaiting || b.WaitsFor != control.ForPlace {
		t.Errorf("b is %s", b.State)
	}
	_, _, _ = h.cli("stop", "a")
	h.waitFor("b", control.StateRunning)
}

// A relief that was at work when the run's replacement became unwanted leaves the
// run alone.
func TestUnwantedRelief(t *testing.T) {
	for name, c := range map[string]struct {
		more   map[string]any
		change func(*host)
	}{
		"drain": {map[string]any{"overlap": "replace"}, func(h *host) {
			go func() { _, _, _ = h.cli("drain") }()
			h.eventually("it is drained", func() bool { return h.status().Drained })
		}},
		"timer off": {service(), func(h *host) {
			h.edit("a", `"intervalSec":1`, `"enabled":false`)
			h.eventually("the edit is seen", func() bool { return h.agentStatus("a").NextHeartbeat == nil })
		}},
		"file gone": {map[string]any{"overlap": "replace"}, func(h *host) {
			must(h.t, os.Remove(h.path("adapters.d/a.json")))
			h.waitFor("a", control.StateRetiring)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it takes somebody's patience
			h := newHost(t)
			secret := h.plane.CreateSecret(h.company, "token", "first-token")
			h.addAgent("a", agent{command: "sh", args: []string{"-c", serve}, heartbeat: map[string]any{"intervalSec": 1}, env: map[string]any{"TOKEN": ref(secret, "latest")}, more: c.more})
			h.start()
			h.eventually("it starts", func() bool { return len(h.starts()) == 1 })
			arrived, open := h.held()
			h.plane.Rotate(secret, "second-token")
			<-arrived
			run := h.agentStatus("a").Run
			c.change(h)
			open()
			h.addAgent("later", agent{command: "true", heartbeat: off}) // time for the relief to do what it must not
			h.eventually("the relief is over", func() bool { return h.agentStatus("later").Name != "" })
			_, _, _ = h.cli("wake", "later", "--wait")
			if now := h.agentStatus("a").Run; run == nil || now == nil || now.PID != run.PID || len(h.starts()) != 1 {
				t.Errorf("it was ended: %+v, starts %q", h.agentStatus("a").LastRun, h.starts())
			}
		})
	}
}

// Wakes of two tasks while a service stops: both are answered.
func TestWakesOfAStoppingService(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.configure(map[string]any{"heartbeat": map[string]any{"intervalSec": 3600}})
	h.proxy.deaf = true
	h.addAgent("a", agent{command: "sh", args: []string{"-c", lingers}, more: service()})
	h.start()
	h.eventually("it starts", func() bool { return len(h.starts()) == 1 })
	stopped := make(chan struct{})
	go func() { _, _, _ = h.cli("stop", "a"); close(stopped) }()
	h.waitFor("a", control.StateStopping)
	answers := []<-chan error{h.wakeWait("a", "A"), h.wakeWait("a", "B")}
	<-stopped
	for i, answer := range answers {
		answered := false
		h.eventually(fmt.Sprint("wake ", i, " is answered"), func() bool {
			select {
			case err := <-answer:
				must(t, err)
				answered = true
			default:
			}
			return answered
		})
	}
}

// What runs is judged by how it was started: a service ends when its file says run,
// or is gone, also when that happened while no daemon looked; and a daemon that
// starts again starts it again at once.
func TestServiceFileChanges(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.configure(map[string]any{"heartbeat": map[string]any{"intervalSec": 3600}})
	h.proxy.deaf = true // nothing but the daemon itself may start one
	h.addAgent("a", agent{command: "sh", args: []string{"-c", serve}, more: service()})
	h.start()
	h.eventually("it starts", func() bool { return len(h.starts()) == 1 })
	h.stop()
	h.start()
	h.eventually("it starts with the daemon", func() bool { return len(h.starts()) == 2 })
	h.waitFor("a", control.StateRunning)
	h.edit("a", `"lifecycle":"service"`, `"lifecycle":"run"`)
	h.eventually("it is a run now", func() bool { return len(h.starts()) == 3 })
	if r := h.agentStatus("a").LastRun; r == nil || r.Reason != "replaced because its file changed" {
		t.Errorf("%+v", r)
	}
	h.edit("a", `"lifecycle":"run"`, `"lifecycle":"service"`)
	h.eventually("it is a service again", func() bool { return len(h.starts()) == 4 })
	pid := h.waitFor("a", control.StateRunning).Run.PID
	h.kill()
	must(t, os.Remove(h.path("adapters.d/a.json")))
	h.start()
	h.eventually("it ends", func() bool { return h.agentStatus("a").Name == "" && !lives(pid) })
}

// A heartbeat that a relief took is not forgotten when the run ends by itself.
func TestRunEndsDuringRelief(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.configure(map[string]any{"heartbeat": map[string]any{"intervalSec": 3600}})
	h.addAgent("a", agent{command: "sh", args: []string{"-c", "echo x >> starts; exec sleep 300"}, more: map[string]any{"overlap": "replace"}})
	h.start()
	h.eventually("it starts", func() bool { return len(h.starts()) == 1 })
	run := h.waitFor("a", control.StateRunning).Run
	arrived, open := h.held()
	_, _, _ = h.cli("reload")
	<-arrived
	must(t, syscall.Kill(run.PID, syscall.SIGKILL))
	h.eventually("it ends", func() bool { r := h.agentStatus("a").Run; return r == nil || r.RunID != run.RunID })
	open()
	h.eventually("it starts again", func() bool { return len(h.starts()) == 2 })
}

// Wakes that nobody waits for take no memory without end.
func TestWakesAreBounded(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "sleep", args: []string{"300"}, heartbeat: off})
	h.start()
	wake := func(task string) error {
		_, err := control.NewClient(h.socket).Wake(context.Background(), "a", control.Wake{Task: task}, false)
		return err
	}
	must(t, wake(""))
	h.waitFor("a", control.StateRunning)
	for range 300 {
		must(t, wake("the same"))
	}
	refused := error(nil)
	for i := 0; i < 300 && refused == nil; i++ {
		refused = wake(fmt.Sprint("task ", i))
	}
	if refused == nil || !strings.Contains(refused.Error(), "wakes that wait for a heartbeat") {
		t.Errorf("300 tasks wait: %v", refused)
	}
	must(t, wake("the same"))
}
