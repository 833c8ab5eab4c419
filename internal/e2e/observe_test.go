package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// tellers makes a host whose plugins are process and teller.
func tellers(t *testing.T) *host {
	h := newHost(t)
	must(t, os.Mkdir(h.path("plugins"), 0o755))
	for name, program := range map[string]string{"teller": h.buildTestdata(t, "teller"), "process": filepath.Join(h.bin.Plugins, "process")} {
		must(t, os.Symlink(program, h.path("plugins/"+name)))
	}
	h.configure(map[string]any{"pluginsDir": h.path("plugins")})
	return h
}

// tell makes an agent of teller that runs a script of sh.
func (h *host) teller(name, script string, a agent) {
	h.t.Helper()
	a.command, a.args, a.heartbeat, a.adapter = "sh", []string{"-c", script}, off, "teller"
	h.addAgent(name, a)
}

func (h *host) wakeFor(name, task string) *runs.Record {
	h.t.Helper()
	w, err := control.NewClient(h.socket).Wake(context.Background(), name, control.Wake{Task: task, Context: []byte(`{"why":"x"}`)}, true)
	must(h.t, err)
	if w.Run == nil || w.Run.Outcome == nil {
		h.t.Fatalf("%s for %q: %+v, %+v", name, task, w.Heartbeat, w.Run)
	}
	return w.Run
}

// A session goes on per task, over a restart of the daemon, and not over a
// rotation or another adapter type.
func TestSessions(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := tellers(t)
	secret := h.plane.CreateSecret(h.company, "token", "a long enough value")
	h.teller("a", `echo "session: ${SESSION}x"; echo "summary: task=$TASK state=$STATE wake=$WAKE"; echo plain; echo "cost: 0.25"`,
		agent{env: map[string]any{"TOKEN": ref(secret, "latest")}})
	h.start()
	for _, step := range []struct {
		before        func()
		task, session string
		summary       string
	}{
		{nil, "", "x", `task= state= wake={"why":"x"}`},
		{nil, "", "xx", `task= state=carried  wake={"why":"x"}`},
		{nil, "T-1", "x", `task=T-1 state= wake={"why":"x"}`},
		{func() { h.stop(); h.start() }, "T-1", "xx", `task=T-1 state=carried T-1 wake={"why":"x"}`},
		{nil, "", "xxx", `task= state=carried  wake={"why":"x"}`},
		{func() { h.plane.Rotate(secret, "another long value") }, "", "x", `task= state= wake={"why":"x"}`},
		{nil, "", "xx", `task= state=carried  wake={"why":"x"}`},
	} {
		if step.before != nil {
			step.before()
		}
		r := h.wakeFor("a", step.task)
		if o := r.Outcome; o.SessionID != step.session || o.Summary != step.summary || o.OutputTokens != 1 || o.CostUSD != 0.25 || r.Task != step.task {
			t.Errorf("task %q: %+v, want session %s, %s", step.task, o, step.session, step.summary)
		}
	}
	if r := h.agentStatus("a").LastRun; r.Carry != nil || r.Resumed == nil || r.Resumed.State != nil {
		t.Errorf("status shows what is the adapter's own: %+v", r)
	}
}

// Exit 0 is not success when the adapter says so.
func TestObservedFailure(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := tellers(t)
	h.teller("a", `echo "fail: the key is refused"`, agent{})
	h.start()
	stdout, _, code := h.cli("wake", "a", "--wait")
	if code != 1 || !strings.Contains(stdout, "exit 0, the key is refused (auth)") {
		t.Errorf("exit %d, %s", code, stdout)
	}
	if r := h.agentStatus("a").LastRun; r.Outcome.ErrorClass != "auth" || r.Reason != "the key is refused (auth)" {
		t.Errorf("%+v", r)
	}
}

// What the agent does is seen while it does it, and nothing is lost when the
// daemon, or the plugin, is killed meanwhile.
func TestObserverIsKilled(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	for name, kill := range map[string]func(*host){
		"nobody": func(*host) {},
		"daemon": func(h *host) { h.kill(); h.start() },
		"plugin": func(h *host) {
			for _, p := range h.status().Plugins {
				if p.Type == "teller" && p.PID != 0 {
					must(h.t, syscall.Kill(p.PID, syscall.SIGKILL))
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := tellers(t)
			h.teller("a", `echo "progress: first step"; echo one; mkfifo gate; read x < gate; echo two; echo "session: s"; exit 7`, agent{})
			h.start()
			_, err := control.NewClient(h.socket).Wake(context.Background(), "a", control.Wake{}, false)
			must(t, err)
			progress := func() bool { r := h.agentStatus("a").Run; return r != nil && r.Progress == "first step" }
			h.eventually("the progress is seen", progress)
			kill(h)
			if name == "daemon" {
				h.eventually("the progress is seen by the next daemon", progress)
			}
			must(t, os.WriteFile(h.path("work/gate"), []byte("go\n"), 0))
			r := h.ended1("a")
			if o := r.Outcome; o == nil || o.OutputTokens != 2 || o.InputTokens != 7 || o.SessionID != "s" || r.Progress != "" {
				t.Errorf("%+v of %+v\n%s", o, r, h.logTail())
			}
		})
	}
}

// An adapter that dies of what it reads costs the run nothing but its outcome.
func TestObserverDies(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := tellers(t)
	h.teller("a", `echo "progress: now"; exit 0`, agent{config: map[string]any{"suicide": true}})
	h.start()
	if r := h.wake("a").Run; r == nil || r.Outcome != nil || r.ExitCode == nil || *r.ExitCode != 0 || r.Reason != "" {
		t.Errorf("%+v", r)
	}
}

// A need widens nothing; the error says what to add.
func TestNeeds(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := tellers(t)
	must(t, os.Mkdir(h.path("elsewhere"), 0o777))
	other := h.path("elsewhere")
	h.teller("reads", "true", agent{config: map[string]any{"read": []string{other}}})
	h.teller("writes", "true", agent{config: map[string]any{"write": []string{other}}, sandbox: map[string]any{"read": []string{other}}})
	h.teller("may", "true", agent{config: map[string]any{"write": []string{other, h.path("work")}, "network": true}, sandbox: map[string]any{"write": []string{other}}})
	h.teller("alone", "true", agent{config: map[string]any{"network": true}, sandbox: map[string]any{"profile": "strict"}})
	h.teller("private", "true", agent{config: map[string]any{"read": []string{h.path("token")}}})
	h.teller("off", "true", agent{config: map[string]any{"network": true, "read": []string{h.path("work")}}, sandbox: map[string]any{"profile": "off"}})
	h.start()
	for name, want := range map[string]string{
		"reads":   `needs to read ` + other + `, which is denied`,
		"writes":  `add "sandbox": {"write": ["` + other + `"]} to the agent's file`,
		"may":     "",
		"alone":   "needs the network, which its policy denies: list the ports in sandbox.connectTcp",
		"private": "needs to read " + h.path("token"),
		"off":     "",
	} {
		if w := h.wake(name); (want == "") != (w.Run != nil) || !strings.Contains(w.Heartbeat.Error, want) {
			t.Errorf("%s: %+v", name, w.Heartbeat)
		}
	}
}

// The shorter of two deadlines holds.
func TestPlannedDeadline(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := tellers(t)
	h.teller("a", "exec sleep 1000", agent{config: map[string]any{"timeoutMS": 300}, timeout: 100})
	h.start()
	if r := h.wake("a").Run; r == nil || !strings.Contains(r.Reason, "timed out") {
		t.Errorf("%+v", r)
	}
}

// Wakes for one task are one run, those for others have their own.
func TestWakesPerTask(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := tellers(t)
	h.teller("a", `mkfifo gate 2>&-; read x < gate; echo "$TASK $WAKE" >> tasks`, agent{})
	h.start()
	wake := func(task, context string) {
		_, stderr, code := h.cli("wake", "a", "--task", task, "--context", context)
		if code != 0 {
			t.Fatal(stderr)
		}
	}
	wake("first", "{}")
	h.eventually("the first runs", func() bool { _, err := os.Stat(h.path("work/gate")); return err == nil })
	for _, w := range [][2]string{{"b", `{"n":1}`}, {"c", `{"n":2}`}, {"b", `{"n":3}`}} {
		wake(w[0], w[1])
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() { // lets everybody through
		for {
			f, err := os.OpenFile(h.path("work/gate"), os.O_WRONLY, 0)
			if err != nil {
				return
			}
			_, _ = f.WriteString("go\n")
			_ = f.Close()
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	h.eventually("all tasks had their run", func() bool {
		data, _ := os.ReadFile(h.path("work/tasks"))
		return string(data) == "first {}\nb {\"n\":3}\nc {\"n\":2}\n"
	})
	for _, bad := range [][]string{{"--task", strings.Repeat("x", 201)}, {"--task", "a\nb"}, {"--context", "[1]"}, {"--context", "{"}} {
		if _, stderr, code := h.cli(append([]string{"wake", "a"}, bad...)...); code != 1 || stderr == "" {
			t.Errorf("%q: exit %d, %s", bad, code, stderr)
		}
	}
}

// A value that an agent prints reaches no observer, no record and no daemon.
func TestObserverSeesNoValue(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := tellers(t)
	value := secretValue(1, 1)
	secret := h.plane.CreateSecret(h.company, "token", value)
	h.teller("a", `echo "summary: it is $TOKEN"; echo "progress: $TOKEN"; echo "session: $TOKEN"; echo "$TOKEN" >&2; mkfifo gate; read x < gate`,
		agent{env: map[string]any{"TOKEN": ref(secret, "latest")}})
	h.start()
	_, err := control.NewClient(h.socket).Wake(context.Background(), "a", control.Wake{}, false)
	must(t, err)
	h.eventually("the progress is seen", func() bool { r := h.agentStatus("a").Run; return r != nil && r.Progress != "" })
	if os.Geteuid() == 0 {
		pids := []int{h.cmd.Process.Pid}
		for _, p := range h.status().Plugins {
			if p.PID != 0 {
				pids = append(pids, p.PID)
			}
		}
		for _, pid := range pids {
			if code, report := memscan(t, h.bin.Memscan, []string{value}, "--pid", strconv.Itoa(pid), "--skip", h.path("host.key")); code != 0 {
				t.Errorf("pid %d: exit %d\n%s", pid, code, report)
			}
		}
	}
	must(t, os.WriteFile(h.path("work/gate"), []byte("go\n"), 0))
	if o := h.ended1("a").Outcome; o.Summary != "it is [redacted:TOKEN]" || o.SessionID != "[redacted:TOKEN]" {
		t.Errorf("%+v", o)
	}
	h.stop()
	if found := leaks(t, h.path("state"), value); found != nil {
		t.Errorf("the value is in %v", found)
	}
}

// leaks are the files below dir that hold text.
func leaks(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), text) {
			found = append(found, path)
		}
		return err
	}))
	return found
}
