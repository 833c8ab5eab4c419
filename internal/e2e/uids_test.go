package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// configure changes keys of config.json.
func (h *host) configure(keys map[string]any) {
	h.t.Helper()
	var config map[string]any
	data, err := os.ReadFile(h.config)
	must(h.t, err)
	must(h.t, json.Unmarshal(data, &config))
	maps.Copy(config, keys)
	h.writeJSON("config.json", config)
}

// Each agent without a user has a uid of its own, for good; what it cannot have
// is an error that says so.
func TestUIDRange(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("switching users needs root")
	}
	const first = 3_000_000_000
	h := newHost(t)
	h.configure(map[string]any{"uidRange": []int{first, first + 3}}) // two agents, the plugin, the masker
	for _, name := range []string{"a", "b", "c"} {
		h.addAgent(name, agent{command: "sh", heartbeat: off, args: []string{"-c", `id -u; id -G; echo $USER; echo x > $HOME/x; cat ` + h.path("state/agents/a/home/x")}})
	}
	h.start()
	expect := func(name string, says ...string) {
		t.Helper()
		if w := h.wake(name); w.Run == nil {
			t.Fatalf("%+v", w.Heartbeat)
		}
		out, _, _ := h.cli("logs", name)
		for _, s := range says {
			if !strings.Contains(out, s) {
				t.Errorf("%s: nothing of %q in %s", name, s, out)
			}
		}
	}
	refused := func(name string, says ...string) {
		t.Helper()
		w := h.wake(name)
		for _, s := range says {
			if w.Run != nil || !strings.Contains(w.Heartbeat.Error, s) {
				t.Errorf("%s: nothing of %q in %+v", name, s, w.Heartbeat)
			}
		}
	}
	expect("a", "3000000000\n3000000000\nagent-3000000000\nx\n")
	plugins := h.status().Plugins
	if p := plugins[slices.IndexFunc(plugins, func(p control.Plugin) bool { return p.PID != 0 })]; p.User != "uid 3000000001, its own" {
		t.Errorf("the plugin: %+v", p)
	}
	out, _, _ := h.cli("explain", "b")
	if !strings.Contains(out, "a uid of its own out of uidRange, given at its first heartbeat") {
		t.Errorf("explain: %s", out)
	}
	expect("b", "3000000002\n3000000002\n", "Permission denied")
	refused("c", "uidRange is used up: 3 uids")
	var st syscall.Stat_t
	must(t, syscall.Stat(h.path("state/agents/b/home/x"), &st))
	if st.Uid != first+2 || st.Gid != first+2 {
		t.Errorf("b's file belongs to %d:%d", st.Uid, st.Gid)
	}
	out, _, _ = h.cli("explain", "b")
	if !strings.Contains(out, "uid 3000000002, its own out of uidRange") {
		t.Errorf("explain: %s", out)
	}

	h.configure(map[string]any{"uidRange": []int{first + 1, first + 9}})
	h.cli("reload")
	refused("a", "uid 3000000000, which is outside uidRange [3000000001, 3000000009]", h.path("state/agents/a/home"), "uids.json")
	expect("b", "3000000002\n")
	expect("c", "3000000003\n")

	must(t, os.WriteFile(h.path("state/uids.json"), nil, 0o600))
	refused("b", "uids.json: it is damaged")
	if _, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "check", "--config", h.config)); code != 78 || !strings.Contains(stderr, "it is damaged") || !strings.Contains(stderr, "hint: it says which files") {
		t.Errorf("check: %d %s", code, stderr)
	}
	h.stop()
}

// What check warns of refuses nothing.
func TestCheckUsers(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true"})
	h.addAgent("b", agent{command: "true"})
	check := func(says ...string) {
		t.Helper()
		stdout, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "check", "--config", h.config))
		for _, s := range says {
			if code != 0 || !strings.Contains(stdout+stderr, s) {
				t.Errorf("exit %d, nothing of %q in %s%s", code, s, stdout, stderr)
			}
		}
	}
	check("warning: $.uidRange: 2 agents share the launcher's uid", "agents run as: ")
	h.configure(map[string]any{"uidRange": []int{1, 2}})
	check("config.json:1:", "warning: $.uidRange: 2 agents and 1 plugins, but only 1 uids for them")
	if os.Geteuid() != 0 {
		check("may not switch users: 2 agents share it")
	}
}

// A working directory stays whose it is; check says which uid cannot write it.
func TestCheckDir(t *testing.T) {
	h := newHost(t)
	closed := h.path("work")
	must(t, os.Chmod(closed, 0o555))
	t.Cleanup(func() { _ = os.Chmod(closed, 0o777) })
	h.addAgent("a", agent{command: "true"})
	uid := fmt.Sprintf("uid %d", os.Geteuid())
	if os.Geteuid() == 0 {
		h.configure(map[string]any{"uidRange": []int{61184, 61200}})
		uid = "a new uid of uidRange"
	}
	stdout, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "check", "--config", h.config))
	want := "warning: $.adapterConfig.cwd: " + uid + " cannot write its working directory: "
	if code != 0 || !strings.Contains(stderr, want) || strings.Contains(stderr, "closed: "+closed) {
		t.Errorf("exit %d: %s%s, want %s", code, stdout, stderr, want)
	}
	info, err := os.Stat(closed)
	must(t, err)
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != uint32(os.Geteuid()) {
		t.Errorf("it belongs to uid %d now", owner)
	}
}
