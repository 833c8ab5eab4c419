package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// hostilePlugins gives the host the attacker as two plugins, hostile and
// neighbour, beside process.
func (h *host) hostilePlugins(t *testing.T) {
	t.Helper()
	must(t, os.Mkdir(h.path("plugins"), 0o755))
	for name, from := range map[string]string{"hostile": h.buildAttacker(t), "neighbour": h.buildAttacker(t), "process": filepath.Join(h.bin.Plugins, "process")} {
		if out, err := exec.Command("cp", from, h.path("plugins/"+name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	h.set("pluginsDir", h.path("plugins"))
}

// tell makes an agent whose plugin attacks when it is to plan.
func (h *host) tell(name, plugin, attack, target string) {
	h.t.Helper()
	h.writeJSON("adapters.d/"+name+".json", map[string]any{
		"id": uuid.NewString(), "companyId": h.company, "name": name, "adapterType": plugin,
		"adapterConfig": map[string]any{"attack": attack, "target": target}, "runtimeConfig": map[string]any{"heartbeat": off},
	})
}

// says is what came of it.
func (h *host) says(name string) string {
	h.t.Helper()
	h.eventually(name+" is known", func() bool { return h.agentStatus(name).Name != "" })
	w := h.wake(name)
	_, says, ok := strings.Cut(w.Heartbeat.Error, "says: ")
	if !ok {
		h.t.Errorf("%s: %+v", name, w.Heartbeat)
	}
	return says
}

func (h *host) plugin(name string) control.Plugin {
	h.t.Helper()
	for _, p := range h.status().Plugins {
		if p.Type == name {
			return p
		}
	}
	return control.Plugin{}
}

// pluginHosts are the ways in which plugins are apart from others.
func pluginHosts(t *testing.T, f func(t *testing.T, h *host)) {
	for name, prepare := range map[string]func(*host){
		"the keeper's uid": func(*host) {},
		"uids of their own": func(h *host) {
			needRoot(h.t.(*testing.T))
			h.ownUIDs()
		},
		"a keeper apart": func(h *host) {
			needRoot(h.t.(*testing.T))
			h.apart(h.t.(*testing.T))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			prepare(h)
			h.hostilePlugins(t)
			f(t, h)
		})
	}
}

// A hostile plugin, one attack a row: it works for a process of the same user
// without a sandbox, and fails for the plugin. What a plugin needs goes on
// working.
func TestHostilePlugin(t *testing.T) {
	pluginHosts(t, func(t *testing.T, h *host) {
		attacker := h.buildAttacker(t)
		secret := h.plane.CreateSecret(h.company, "TOKEN", secretValue(1, 1))
		h.tell("first", "neighbour", "tmp-path", "")
		h.start()
		tmp := strings.TrimPrefix(h.says("first"), "failed: ")
		neighbour := h.plugin("neighbour")
		victim := h.puppet(t, "victim", agent{env: map[string]any{"TOKEN": ref(secret, "latest")}})
		victim.works("home", "")
		tcp, _ := listen(t, "tcp", "127.0.0.1:0")
		_, _ = listen(t, "unix", "@"+h.dir)
		_, _ = listen(t, "unix", h.path("bus"))
		must(t, os.Chmod(h.path("bus"), 0o666))
		dgram := h.path("dgram")
		listenDgram(t, dgram)
		must(t, os.WriteFile(h.path("outside"), []byte("x"), 0o666))
		must(t, os.Mkdir(h.path("elsewhere"), 0o777))
		must(t, os.Chmod(h.path("elsewhere"), 0o777))
		keeper := strconv.Itoa(h.keeper())
		daemon, near, agent := strconv.Itoa(h.cmd.Process.Pid), strconv.Itoa(neighbour.PID), strconv.Itoa(victim.pid)
		keeperSocket := h.status().Keeper.Socket
		rows := []try{
			{"dial-tcp", tcp, stopped}, {"listen-tcp", "127.0.0.1:0", stopped}, {"udp", "", stopped}, {"mptcp", "", denied},
			{"dial-unix", h.socket, stopped}, {"dial-unix", h.path("bus"), stopped}, {"dial-abstract", h.dir, stopped},
			{"dial-packet", keeperSocket, denied}, {"hello", keeperSocket, denied}, {"hello-left", keeperSocket, denied},
			{"control", h.socket, stopped}, {"control-left", h.socket, denied},
			{"sibling:control", h.socket, denied}, {"orphan:control", h.socket, denied}, {"orphan:hello", keeperSocket, denied},
			{"unix-high-bits", "", stopped}, {"socketpair", "", allowed}, {"pair-dgram", dgram, stopped},
			{"order", keeperSocket + ",keeper,", denied},
			{"read", h.path("host.key"), stopped}, {"fds", h.path("host.key"), denied}, {"read", h.path("token"), stopped},
			{"read", h.config, stopped}, {"list", h.path("adapters.d"), stopped}, {"list", h.path("plugins"), stopped},
			{"list", h.path("state"), stopped}, {"list", h.path("state/runs"), stopped}, {"list", h.path("state/plugins"), stopped},
			{"list", h.path("state/agents/victim/home"), stopped}, {"write", h.path("state/agents/victim/home/y"), stopped},
			{"list", tmp, stopped}, {"write", tmp + "/y", stopped}, {"read", victim.log, stopped},
			{"read", h.path("outside"), stopped}, {"truncate", h.path("outside"), stopped}, {"write", h.path("elsewhere/x"), stopped},
			{"write", "/tmp/" + uuid.NewString(), stopped}, {"list", "/", stopped},
			{"write", h.path("state/plugins/hostile/x"), stopped}, {"write", h.path("state/plugins/x"), stopped},
			{"ptrace", daemon, denied}, {"open-mem", daemon, denied}, {"getfd", daemon, denied}, {"kill", daemon, stopped},
			{"ptrace", keeper, denied}, {"open-mem", keeper, denied}, {"getfd", keeper, denied}, {"kill", keeper, denied},
			{"ptrace", near, stopped}, {"open-mem", near, stopped}, {"vm-readv", near, stopped}, {"getfd", near, stopped}, {"kill", near, stopped},
			{"read", "/proc/" + agent + "/environ", denied}, {"open-mem", agent, denied}, {"ptrace", agent, denied}, {"kill", agent, denied},
			{"user-namespace", "", denied}, {"io-uring", "", denied}, {"keyring", "", stopped},
			{"raise", "nofile", denied}, {"raise", "fsize", denied}, {"raise", "core", denied}, {"open-many", "2000", stopped},
			{"tmp", "", allowed}, {"read", "/etc/passwd", allowed}, {"list", "/usr", allowed}, {"write", "/dev/null", allowed},
		}
		for i, x := range rows {
			h.tell(fmt.Sprint("row-", i), "hostile", x.attack, x.target)
		}
		for i, x := range rows {
			says := h.says(fmt.Sprint("row-", i))
			if done := says == "done"; done != (x.want == allowed) || !done && !denial(says) {
				t.Errorf("%s %s: %s; want %s", x.attack, x.target, says, x.want)
			}
			if x.want != stopped {
				continue
			}
			if out, _, _ := runCommand(t, exec.Command(attacker, x.attack, x.target)); strings.TrimSpace(out) != "done" {
				t.Errorf("%s %s without a sandbox: %s: the attack itself does not work", x.attack, x.target, out)
			}
		}
		hostile := h.plugin("hostile")
		if mine, its := owner(t, hostile.PID), owner(t, neighbour.PID); os.Geteuid() == 0 && strings.Contains(hostile.User, "its own") && (mine == its || mine == owner(t, victim.pid)) {
			t.Errorf("uids: hostile %d, neighbour %d, an agent %d", mine, its, owner(t, victim.pid))
		}
		if !strings.HasPrefix(hostile.Sandbox, "plugin: Landlock") || strings.Contains(hostile.Sandbox, "LOST") {
			t.Errorf("%+v", hostile)
		}
		if stdout, _, _ := h.cli("status"); !strings.Contains(stdout, hostile.User) || !strings.Contains(stdout, hostile.Sandbox) {
			t.Errorf("status: %s", stdout)
		}
		h.stop()
		for _, p := range []control.Plugin{hostile, neighbour} {
			if lives(p.PID) {
				t.Errorf("plugin %s outlived the daemon", p.Type)
			}
		}
	})
}

func listenDgram(t *testing.T, path string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	must(t, syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}))
	must(t, os.Chmod(path, 0o666))
}

// What a plugin started to outlive it is gone with it, however it ends; agents go
// on, and the next use has another.
func TestPluginLeavesNothing(t *testing.T) {
	pluginHosts(t, func(t *testing.T, h *host) {
		h.start()
		long := h.puppet(t, "long", agent{})
		for name, end := range map[string]func(){
			"its own end":   func() { h.tell("end", "hostile", "exit", "7"); h.wakes("end") },
			"kill -9":       func() { must(t, syscall.Kill(h.plugin("hostile").PID, syscall.SIGKILL)) },
			"file removed":  func() { must(t, os.Rename(h.path("plugins/hostile"), h.path("plugins-hostile"))) },
			"daemon killed": h.kill,
			"daemon leaves": func() { must(t, h.cmd.Process.Signal(syscall.SIGUSR2)); <-h.ended },
		} {
			if _, err := os.Stat(h.path("plugins/hostile")); err != nil {
				must(t, os.Rename(h.path("plugins-hostile"), h.path("plugins/hostile")))
			}
			marker, agent := "marker-"+uuid.NewString(), "escape-"+uuid.NewString()[:8]
			h.tell(agent, "hostile", "escape", marker)
			if says := h.says(agent); says != "done" {
				t.Fatalf("%s: %s", name, says)
			}
			if n := len(marked(marker)); n == 0 {
				t.Fatalf("%s: nothing escaped", name)
			}
			pid := h.plugin("hostile").PID
			end()
			h.eventually("the plugin and what it started are gone after "+name, func() bool { return !lives(pid) && len(marked(marker)) == 0 })
			if name == "daemon killed" || name == "daemon leaves" {
				h.start()
			}
			if !lives(long.pid) {
				t.Fatalf("the agent ended with %s", name)
			}
		}
		h.stop()
	})
}

// wakes starts a heartbeat that has no answer.
func (h *host) wakes(name string) {
	h.t.Helper()
	h.eventually(name+" is known", func() bool { return h.agentStatus(name).Name != "" })
	if w := h.wake(name); w.Heartbeat.Error == "" {
		h.t.Errorf("%s: %+v", name, w)
	}
}

// A keeper that dies takes plugins with it; the next one has them again.
func TestPluginsAfterALostKeeper(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	h.start()
	if w := h.wake("a"); w.Run == nil {
		t.Fatalf("%+v", w.Heartbeat)
	}
	old := h.plugin("process").PID
	must(t, syscall.Kill(h.keeper(), syscall.SIGKILL))
	h.eventually("the plugin is gone", func() bool { return !lives(old) })
	h.eventually("there is a keeper", func() bool { return h.status().Keeper.PID != 0 })
	if w := h.wake("a"); w.Run == nil || h.plugin("process").PID == old {
		t.Errorf("%+v, %+v", w.Heartbeat, h.plugin("process"))
	}
	h.stop()
}

// check asks plugins though the host key is another's and no keeper answers; one
// that cannot be started is a finding.
func TestCheckStartsPlugins(t *testing.T) {
	h := newHost(t)
	h.set("hostKeyFile", nil)
	h.set("keeperSocket", h.path("none.sock"))
	h.addAgent("a", agent{command: "/nonexistent/program"})
	check := func(launcher string, says ...string) {
		t.Helper()
		stdout, stderr, code := runCommand(t, exec.Command(launcher, "check", "--config", h.config))
		for _, s := range says {
			if code != 78 || !strings.Contains(stderr, s) {
				t.Errorf("exit %d, nothing of %q in %s%s", code, s, stdout, stderr)
			}
		}
	}
	check(h.bin.Launcher, "cannot reach the keeper", "adapter process: there is no such program")
	alone := h.path("agent-launcher") // without its stage
	if out, err := exec.Command("cp", h.bin.Launcher, alone).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	check(alone, "cannot find agent-launcher-stage")
	must(t, os.Mkdir(h.path("plugins"), 0o755))
	must(t, os.WriteFile(h.path("plugins/process"), []byte("no program"), 0o755))
	h.set("pluginsDir", h.path("plugins"))
	check(h.bin.Launcher, "cannot reach the keeper", "$.adapterType: adapter process: cannot start")
}
