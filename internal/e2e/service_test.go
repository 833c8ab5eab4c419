package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// service makes a file say lifecycle service, and more.
func service(more ...any) map[string]any {
	out := map[string]any{"lifecycle": "service"}
	for i := 0; i < len(more); i += 2 {
		out[more[i].(string)] = more[i+1]
	}
	return out
}

// serve is a script that notes its start, and its pid, and never two at a time.
const serve = `mkdir up || echo overlap >> overlaps; echo "$$ $TOKEN $OTHER" >> starts; trap 'sleep 0.2; rmdir up; exit' TERM; sleep 300 & wait`

func (h *host) starts() []string {
	data, _ := os.ReadFile(h.path("work/starts"))
	return strings.Fields(strings.ReplaceAll(string(data), " ", "/"))
}

// beats waits until the agent had n heartbeats more.
func (h *host) beats(name string, n int) {
	h.t.Helper()
	for range n {
		was := h.agentStatus(name).LastHeartbeat
		h.eventually(name+" has a heartbeat", func() bool {
			hb := h.agentStatus(name).LastHeartbeat
			return hb != nil && (was == nil || hb.At.After(was.At))
		})
	}
}

// A service is one process. A rotation replaces it once, an edit of its file does,
// and nothing else: no heartbeat, outage, reload, or restart of the daemon.
func TestService(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	token, other := h.plane.CreateSecret(h.company, "token", "first-token"), h.plane.CreateSecret(h.company, "other", "first-other")
	env := map[string]any{"TOKEN": ref(token, "latest"), "OTHER": ref(other, "latest")}
	a := agent{command: "sh", args: []string{"-c", serve}, env: env, more: service()}
	h.addAgent("a", a)
	h.start()
	h.eventually("it starts", func() bool { return len(h.starts()) == 1 })
	stays := func(what string, do func()) {
		t.Helper()
		before := h.starts()
		do()
		if after := h.starts(); len(after) != len(before) {
			t.Errorf("%s: it was started %d times more: %q", what, len(after)-len(before), after)
		}
	}
	replaced := func(what, why string, do func()) {
		t.Helper()
		before := len(h.starts())
		do()
		h.eventually(what+" replaces it", func() bool { return len(h.starts()) == before+1 })
		h.beats("a", 2)
		if n := len(h.starts()); n != before+1 {
			t.Errorf("%s: it was started %d times", what, n-before)
		}
		if r := h.agentStatus("a").LastRun; r == nil || !strings.HasPrefix(r.Reason, "replaced "+why) {
			t.Errorf("%s: %+v", what, r)
		}
	}
	stays("heartbeats", func() { h.beats("a", 3) })
	replaced("a rotation", "because of TOKEN version 2, it had 1", func() { h.plane.Rotate(token, "second-token") })
	stays("an outage", func() {
		h.proxy.turn(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.WriteHeader(http.StatusInternalServerError)
		})
		h.eventually("the outage is seen", func() bool { return !h.status().ControlPlane.Reachable })
		h.plane.Rotate(other, "second-other")
	})
	replaced("the end of the outage", "because of OTHER version 2, it had 1", func() { h.proxy.turn(nil) })
	stays("a reload", func() { _, _, _ = h.cli("reload"); h.beats("a", 2) })
	stays("kill -9 of the daemon", func() { h.kill(); h.start(); h.beats("a", 2) })
	replaced("a rotation after it", "because of TOKEN version 3, it had 2", func() { h.plane.Rotate(token, "third-token") })
	replaced("an edit", "because its file changed", func() {
		data, err := os.ReadFile(h.path("adapters.d/a.json"))
		must(t, err)
		h.write("adapters.d/a.json", []byte(strings.Replace(string(data), `"graceSec":2`, `"graceSec":3`, 1)))
	})
	stays("a shorter interval", func() {
		data, err := os.ReadFile(h.path("adapters.d/a.json"))
		must(t, err)
		h.write("adapters.d/a.json", []byte(strings.Replace(string(data), `"lifecycle"`, `"runtimeConfig":{"heartbeat":{"intervalSec":2}},"lifecycle"`, 1)))
		h.beats("a", 2)
	})
	began := time.Now()
	if _, stderr, code := h.cli("wake", "a", "--wait"); code != 0 || time.Since(began) > 10*time.Second {
		t.Errorf("wake --wait of a service: exit %d, %s", code, stderr)
	}
	if _, stderr, code := h.cli("stop", "a"); code != 0 || h.agentStatus("a").State != control.StateHeld {
		t.Errorf("stop: exit %d, %s", code, stderr)
	}
	stays("hold", func() { _, _, _ = h.cli("reload") })
	_, _, _ = h.cli("wake", "a", "--wait")
	must(t, os.Remove(h.path("adapters.d/a.json")))
	h.eventually("it ends with its file", func() bool { return h.agentStatus("a").Name == "" })
	if _, err := os.Stat(h.path("work/overlaps")); err == nil {
		t.Error("two of it ran at a time")
	}
	last := h.starts()[len(h.starts())-1]
	if !strings.HasSuffix(last, "/third-token/second-other") {
		t.Errorf("the last start was %s", last)
	}
}

// A crash loop is seen, pauses, and is nobody else's matter.
func TestCrashLoop(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.addAgent("crashes", agent{command: "sh", args: []string{"-c", "echo x >> starts; exit 3"}, more: service()})
	h.addAgent("healthy", agent{command: "sh", args: []string{"-c", "mkdir up; exec sleep 300"}, more: service()})
	h.start()
	h.eventually("it crashed three times", func() bool { return h.agentStatus("crashes").Crashes >= 3 })
	if n := len(h.starts()); n > 5 {
		t.Errorf("%d starts", n)
	}
	a, healthy := h.agentStatus("crashes"), h.agentStatus("healthy")
	if a.State != control.StateBackoff && a.State != control.StateRunning || a.NextHeartbeat == nil || healthy.Run == nil || healthy.Crashes != 0 {
		t.Errorf("%+v, %+v", a, healthy)
	}
	if stdout, _, _ := h.cli("status"); !strings.Contains(stdout, "crashes: it ended, or did not start, ") {
		t.Errorf("status: %s", stdout)
	}
}

// What is revoked: the next heartbeat does not start, and what runs goes on or not,
// as the file says.
func TestOnRevoke(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	for name, c := range map[string]struct {
		more map[string]any
		ends bool
	}{
		"service keeps": {service(), false},
		"service stops": {service("onRevoke", "stop"), true},
		"run stops":     {map[string]any{"onRevoke": "stop"}, true},
		"run keeps":     {map[string]any{"overlap": "replace"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			secret := h.plane.CreateSecret(h.company, "token", "some-token")
			script := "echo x >> starts; exec sleep 300"
			h.addAgent("a", agent{command: "sh", args: []string{"-c", script}, env: map[string]any{"TOKEN": ref(secret, "latest")}, more: c.more, heartbeat: map[string]any{"intervalSec": 1}})
			h.start()
			h.eventually("it runs", func() bool { return h.agentStatus("a").Run != nil })
			h.plane.PatchSecret(secret, map[string]any{"status": "disabled"})
			h.eventually("a heartbeat is refused", func() bool {
				hb := h.agentStatus("a").LastHeartbeat
				return hb != nil && strings.Contains(hb.Error, "TOKEN")
			})
			if c.ends {
				h.eventually("it ends", func() bool {
					a := h.agentStatus("a")
					return a.Run == nil && a.LastRun != nil && strings.Contains(a.LastRun.Reason, "revoked")
				})
			} else if h.agentStatus("a").Run == nil {
				t.Error("it ended")
			}
		})
	}
}

// Overlap replace: each heartbeat is a new run, and the old one is dead before.
func TestOverlapReplace(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.addAgent("a", agent{command: "sh", args: []string{"-c", serve}, more: map[string]any{"overlap": "replace"}})
	h.start()
	h.eventually("it is replaced twice", func() bool { return len(h.starts()) >= 3 })
	h.proxy.turn(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusInternalServerError)
	})
	h.eventually("the outage is seen", func() bool { return h.status().ControlPlane.Attempts >= 2 })
	run := h.agentStatus("a").Run
	if run == nil || syscall.Kill(run.PID, 0) != nil {
		t.Errorf("the outage ended it: %+v", run)
	}
	if _, err := os.Stat(h.path("work/overlaps")); err == nil {
		t.Error("two of it ran at a time")
	}
}

// nextStart: a running service keeps what it has.
func TestNextStart(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	secret := h.plane.CreateSecret(h.company, "token", "first-token")
	h.addAgent("a", agent{command: "sh", args: []string{"-c", serve}, env: map[string]any{"TOKEN": ref(secret, "latest")}, more: service("onRotate", "nextStart")})
	h.start()
	h.eventually("it starts", func() bool { return len(h.starts()) == 1 })
	h.plane.Rotate(secret, "second-token")
	h.beats("a", 2)
	if s := h.starts(); len(s) != 1 {
		t.Fatalf("%q", s)
	}
	must(t, syscall.Kill(h.agentStatus("a").Run.PID, syscall.SIGTERM))
	h.eventually("it starts again", func() bool { return len(h.starts()) == 2 })
	if s := h.starts()[1]; !strings.HasSuffix(s, "/second-token/") {
		t.Errorf("it has %s", s)
	}
}

// An outage is bridged with the last bundle, where the file allows it, and seen.
func TestStaleGrace(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	secret := h.plane.CreateSecret(h.company, "token", "first-token")
	a := agent{command: "sh", args: []string{"-c", "[ ! -e long ] || exec sleep 300"}, env: map[string]any{"TOKEN": ref(secret, "latest")}, heartbeat: off, more: map[string]any{"staleGraceSec": 60}}
	h.addAgent("bridges", a)
	a.more = nil
	h.addAgent("waits", a)
	h.start()
	for _, name := range []string{"bridges", "waits"} {
		if r := h.wake(name).Run; r == nil || r.StaleSince != nil {
			t.Fatalf("%s: %+v", name, r)
		}
	}
	h.proxy.turn(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusBadGateway) })
	h.plane.Rotate(secret, "second-token")
	if r := h.wake("bridges").Run; r == nil || r.StaleSince == nil || r.Refs[0].Version != 1 {
		t.Errorf("%+v", r)
	}
	h.write("work/long", nil)
	_, _, _ = h.cli("wake", "bridges")
	h.waitFor("bridges", control.StateRunning)
	if stdout, _, _ := h.cli("status"); !strings.Contains(stdout, "bridges: runs on a bundle that the control plane confirmed last") {
		t.Errorf("status: %s", stdout)
	}
	_, _, _ = h.cli("wake", "waits")
	if a := h.waitFor("waits", control.StateResolving); a.Run != nil {
		t.Errorf("%+v", a)
	}
	h.proxy.turn(nil)
	h.waitFor("waits", control.StateRunning)
}

// drain: runs end by themselves, services are ended, nothing starts until it is
// over. A wake says why.
func TestDrain(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.addAgent("service", agent{command: "sh", args: []string{"-c", "echo x >> starts; exec sleep 300"}, more: service()})
	h.addAgent("run", agent{command: "sh", args: []string{"-c", "mkfifo gate 2>&-; read x < gate; echo done >> ran"}})
	h.start()
	h.eventually("both run", func() bool { _, err := os.Stat(h.path("work/gate")); return err == nil && len(h.starts()) == 1 })
	drained := make(chan int, 1)
	go func() {
		_, _, code := runCommand(t, exec.Command(h.bin.Launcher, "drain", "--socket", h.socket))
		drained <- code
	}()
	h.eventually("the service ends", func() bool { return h.agentStatus("service").State == control.StateDrained })
	if len(drained) != 0 || h.agentStatus("run").Run == nil {
		t.Error("the run was not waited for")
	}
	must(t, os.WriteFile(h.path("work/gate"), []byte("go\n"), 0))
	if code := <-drained; code != 0 {
		t.Errorf("drain: exit %d", code)
	}
	_, stderr, code := h.cli("wake", "run")
	if code != 1 || !strings.Contains(stderr, "drained") {
		t.Errorf("wake: exit %d, %s", code, stderr)
	}
	_, _, _ = h.cli("reload")
	if stdout, _, _ := h.cli("status"); !strings.Contains(stdout, "DRAINED") || len(h.starts()) != 1 {
		t.Errorf("%q, status: %s", h.starts(), stdout)
	}
	if _, stderr, code := h.cli("drain", "--end"); code != 0 {
		t.Error(stderr)
	}
	h.eventually("the service starts", func() bool { return len(h.starts()) == 2 })
}

// No more runs than maxRuns go on at a time; who waits says so, and a reload may
// let all of them go.
func TestMaxRuns(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	heartbeat := func(most int) map[string]any {
		return map[string]any{"heartbeat": map[string]any{"intervalSec": 1, "jitter": 0, "maxRuns": most}}
	}
	h.configure(heartbeat(2))
	for _, name := range []string{"a", "b", "c", "d"} {
		h.addAgent(name, agent{command: "sleep", args: []string{"300"}})
	}
	h.start()
	states := func(state string) (names []string) {
		for _, a := range h.status().Agents {
			if a.State == state {
				names = append(names, a.Name)
			}
		}
		return names
	}
	h.eventually("two run and two wait", func() bool { return len(states(control.StateRunning)) == 2 && len(states(control.StateWaiting)) == 2 })
	first := states(control.StateRunning)[0]
	if stdout, _, _ := h.cli("status"); !strings.Contains(stdout, "heartbeat.maxRuns is reached") {
		t.Errorf("status: %s", stdout)
	}
	h.kill()
	h.start() // what is adopted counts
	h.eventually("two run and two wait", func() bool { return len(states(control.StateRunning)) == 2 && len(states(control.StateWaiting)) == 2 })
	_, _, _ = h.cli("stop", first)
	h.eventually("the next one runs", func() bool { return len(states(control.StateRunning)) == 2 && len(states(control.StateWaiting)) == 1 })
	h.configure(heartbeat(0))
	_, _, _ = h.cli("reload")
	h.eventually("all run", func() bool { return len(states(control.StateRunning)) == 3 })
}

// A rotation reaches a service at once, and not at its next heartbeat; a control
// plane that was away is asked when it is back.
func TestPush(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.configure(map[string]any{"heartbeat": map[string]any{"intervalSec": 3600}})
	secret := h.plane.CreateSecret(h.company, "token", "first-token")
	h.addAgent("a", agent{command: "sh", args: []string{"-c", serve}, env: map[string]any{"TOKEN": ref(secret, "latest")}, more: service()})
	h.start()
	for n, value := range []string{"second", "third", "fourth"} {
		h.eventually("it runs", func() bool { return len(h.starts()) == n+1 })
		h.plane.Rotate(secret, value+"-token")
	}
	h.eventually("it has the last", func() bool { s := h.starts(); return strings.HasSuffix(s[len(s)-1], "/fourth-token/") })
}
