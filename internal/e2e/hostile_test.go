package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// kill -9 of exec: the agent ends, or the next daemon knows of it. It never runs
// beside a second one, and no keeper is left for ever.
func TestKilledExec(t *testing.T) {
	h := newHost(t)
	tmp := h.path("tmp")
	must(t, os.Mkdir(tmp, 0o755))
	h.addAgent("a", agent{command: "sh", args: []string{"-c", "echo $$ >> pids; exec sleep 61234"}, heartbeat: off})
	cmd := exec.Command(h.bin.Launcher, "exec", "--config", h.config, "a")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	must(t, cmd.Start())
	pids := func() []string { data, _ := os.ReadFile(h.path("work/pids")); return strings.Fields(string(data)) }
	h.eventually("the agent runs", func() bool { return len(pids()) == 1 })
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	t.Cleanup(func() {
		for pid, argv := range commands() {
			if strings.HasPrefix(argv, "agent-launcher-stage\x00keeper\x00") && strings.Contains(argv, tmp) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	})
	h.start()
	h.eventually("the run is on record", func() bool { r := h.agentStatus("a").LastRun; return r != nil || h.agentStatus("a").Run != nil })
	t.Logf("%+v", h.agentStatus("a").LastRun)
	first, err := strconv.Atoi(pids()[0])
	must(t, err)
	_, err = control.NewClient(h.socket).Wake(context.Background(), "a", control.Wake{}, false)
	must(t, err)
	h.eventually("the agent is woken", func() bool { return len(pids()) == 2 || !lives(first) })
	if lives(first) && len(pids()) == 2 {
		t.Errorf("the agent runs twice: pids %v", pids())
	}
	h.stop()
	for pid, argv := range commands() {
		if strings.HasPrefix(argv, "agent-launcher-stage\x00keeper\x00") && strings.Contains(argv, tmp) {
			t.Errorf("keeper %d of the killed exec is left", pid)
		}
	}
	if lives(first) {
		t.Errorf("agent %d of the killed exec is left", first)
	}
}

// A masker that hangs: SIGTERM ends the daemon all the same.
func TestMaskerHangsAtTheEnd(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.start()
	h.puppet(t, "a", agent{})
	m := masker(t, h.keeper())
	must(t, syscall.Kill(m, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(m, syscall.SIGKILL) })
	h.stop()
}

// An agent without a sandbox, of the launcher's uid, stops the masker: the
// other agents' runs still end.
func TestAgentStopsMasker(t *testing.T) {
	h := newHost(t)
	if os.Geteuid() == 0 {
		t.Skip("the masker has another uid")
	}
	h.start()
	p := h.puppet(t, "healthy", agent{})
	m := masker(t, h.keeper())
	h.addAgent("evil", agent{command: "sh", args: []string{"-c", "kill -STOP " + strconv.Itoa(m)}, heartbeat: off, sandbox: map[string]any{"profile": "off"}})
	t.Cleanup(func() { _ = syscall.Kill(m, syscall.SIGKILL) })
	h.eventually("evil is known", func() bool {
		_, err := control.NewClient(h.socket).Wake(context.Background(), "evil", control.Wake{}, false)
		return err == nil
	})
	h.eventually("the masker is stopped", func() bool {
		data, _ := os.ReadFile("/proc/" + strconv.Itoa(m) + "/stat")
		return strings.Contains(string(data), ") T ")
	})
	p.order("exit", "0")
	h.ended1("healthy")
}

// A keeper that hangs holds up neither status nor the daemon's end.
func TestKeeperHangs(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.start()
	h.puppet(t, "a", agent{})
	keeper := h.keeper()
	must(t, syscall.Kill(keeper, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(keeper, syscall.SIGCONT) })
	must(t, h.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-h.ended:
	case <-time.After(75 * time.Second):
		t.Errorf("the daemon did not end within 75 s\n%s", h.logTail())
	}
}

// A keeper that has no descriptor left for one more agent keeps those it has.
func TestKeeperWithoutDescriptors(t *testing.T) {
	needRoot(t) // the keeper is non-dumpable
	h := newHost(t)
	h.start()
	p := h.puppet(t, "healthy", agent{})
	keeper := h.keeper()
	limit := 0
	for free := 2; free >= 0; limit++ {
		if _, err := os.Lstat("/proc/" + strconv.Itoa(keeper) + "/fd/" + strconv.Itoa(limit)); err != nil {
			free--
		}
	}
	var before unix.Rlimit
	must(t, unix.Prlimit(keeper, unix.RLIMIT_NOFILE, nil, &before))
	must(t, unix.Prlimit(keeper, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit - 1), Max: before.Max}, nil))
	h.addAgent("more", agent{command: "true", heartbeat: off})
	h.eventually("more is known", func() bool { return h.agentStatus("more").Name != "" })
	t.Logf("%+v", h.wake("more").Heartbeat)
	must(t, unix.Prlimit(keeper, unix.RLIMIT_NOFILE, &before, nil))
	t.Logf("%+v", h.wake("more").Heartbeat)
	h.eventually("give it a moment", func() bool { return h.agentStatus("healthy").State == control.StateRunning || !lives(p.pid) })
	if r := h.agentStatus("healthy").LastRun; !lives(p.pid) || r != nil {
		t.Errorf("the healthy agent ended: %+v", r)
	}
	p.works("cwd", "")
}

// A daemon with another stateDir, an operator's typo, does not kill the agents
// that the right one has left with their keeper.
func TestAnotherStateDir(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	h.apart(t)
	h.start()
	p := h.puppet(t, "a", agent{})
	must(t, h.cmd.Process.Signal(syscall.SIGUSR2))
	<-h.ended
	must(t, os.Mkdir(h.path("state2"), 0o711))
	must(t, os.Chown(h.path("state2"), daemonUID, daemonUID))
	h.set("stateDir", h.path("state2"))
	h.start()
	h.eventually("the daemon has a keeper", func() bool { return h.status().Keeper.PID != 0 })
	h.stop()
	if !lives(p.pid) {
		t.Error("the agent that another daemon left was killed")
	}
}

// Nobody reads what exec prints: a signal, and the deadline, end it all the same.
func TestExecNobodyReads(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	h := newHost(t)
	h.addAgent("a", agent{command: "sh", args: []string{"-c", "echo $$ > pid; exec yes"}, heartbeat: off, timeout: 1})
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	cmd := exec.Command(h.bin.Launcher, "exec", "--config", h.config, "a")
	cmd.Stdout = w
	must(t, cmd.Start())
	must(t, w.Close())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("exec does not end after the deadline")
		_ = cmd.Process.Kill()
	}
}

// A deadline of less than a millisecond is not none.
func TestTinyTimeout(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "sleep", args: []string{"3"}, heartbeat: off, timeout: 12345})
	data, err := os.ReadFile(h.path("adapters.d/a.json"))
	must(t, err)
	h.write("adapters.d/a.json", bytes.Replace(data, []byte("12345"), []byte("0.0005"), 1))
	_, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, "a"))
	if code == 0 {
		t.Errorf("exit code %d after 3 s, %q: the deadline of 0.0005 s was none", code, stderr)
	}
}

// A configured keeper that hangs: the daemon answers its operators all the same.
func TestConfiguredKeeperHangs(t *testing.T) {
	t.Parallel() // it takes somebody's patience
	needRoot(t)
	h := newHost(t)
	_, keeper := h.apart(t)
	h.addAgent("a", agent{command: "true", heartbeat: map[string]any{"enabled": true, "intervalSec": 1}})
	must(t, syscall.Kill(keeper, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(keeper, syscall.SIGCONT) })
	h.start()
	h.eventually("a heartbeat fails for the keeper's sake", func() bool {
		hb := h.agentStatus("a").LastHeartbeat // an answer of the daemon, whatever it waits for
		return hb != nil && strings.Contains(hb.Error, "did not answer")
	})
	if k := h.status().Keeper; k.PID != 0 || !strings.Contains(k.Error, "did not answer") {
		t.Errorf("%+v", k)
	}
}

// The keeper was busy when the daemon came. Once it is free the daemon adopts its
// runs, shows them, and stop reaches them.
func TestLateAdoption(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	socket, _ := h.apart(t)
	h.start()
	p := h.puppet(t, "a", agent{})
	must(t, h.cmd.Process.Signal(syscall.SIGUSR2))
	<-h.ended
	must(t, syscall.Seteuid(daemonUID))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: socket})
	must(t, syscall.Seteuid(0))
	must(t, err)
	h.start()
	t.Logf("%q", h.status().Keeper.Error)
	must(t, unix.Close(fd))
	h.addAgent("other", agent{command: "true", heartbeat: off})
	h.eventually("other is known", func() bool { return h.agentStatus("other").Name != "" })
	h.eventually("the keeper serves", func() bool { return h.wake("other").Heartbeat.Error == "" })
	a := h.agentStatus("a")
	t.Logf("state %s, run %v, last %v", a.State, a.Run, a.LastRun)
	if a.Run == nil || a.Run.PID != p.pid {
		t.Errorf("status does not show the adopted run, pid %d", p.pid)
	}
	out, stderr, code := h.cli("stop", "a")
	t.Logf("stop: %q %q %d", out, stderr, code)
	if lives(p.pid) {
		t.Error("stop says it is done, and the agent runs on")
	}
}

// exec of an agent that a killed daemon has left, by whatever name: it would run
// twice. Another agent is none of this.
func TestExecOfAnAgentThatIsLeft(t *testing.T) {
	h := newHost(t)
	h.start()
	p := h.puppet(t, "left", agent{})
	h.addAgent("other", agent{command: "true", heartbeat: off})
	h.kill()
	must(t, os.Rename(h.path("adapters.d/left.json"), h.path("adapters.d/renamed.json")))
	for name, want := range map[string]struct {
		code int
		says string
	}{"renamed": {125, "agent left runs already: run "}, "other": {0, ""}} {
		out, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, name))
		if code != want.code || !strings.Contains(stderr, want.says) {
			t.Errorf("exec %s: %d, %q %q", name, code, out, stderr)
		}
	}
	if !lives(p.pid) {
		t.Error("exec ended the agent that was left")
	}
	h.start() // ends it
}

// An operator who is root tries exec on a host whose daemon is another user: the
// daemon can still use its state afterwards, and the error says what to do.
func TestExecAsRootBesideTheDaemon(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	h.apart(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	_, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, "a"))
	t.Logf("exec: %d %s", code, stderr)
	out, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "check", "--config", h.config))
	t.Logf("check: %d %s %s", code, out, stderr)
	_ = filepath.WalkDir(h.path("state"), func(path string, _ os.DirEntry, err error) error {
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil && st.Uid == 0 {
			t.Errorf("root's: %s", strings.TrimPrefix(path, h.dir))
		}
		return nil
	})
	h.start()
	h.eventually("a is known", func() bool { return h.agentStatus("a").Name != "" })
	if w := h.wake("a"); w.Heartbeat.Error != "" {
		t.Errorf("the daemon cannot start the agent any more: %s", w.Heartbeat.Error)
	}
}
