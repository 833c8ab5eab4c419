package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A new version of a plugin serves without a word to the daemon, a broken one
// changes nothing, and an agent that runs notices neither.
func TestPluginSwap(t *testing.T) {
	h := newHost(t)
	program, err := os.ReadFile(filepath.Join(h.bin.Plugins, "process"))
	must(t, err)
	must(t, os.Mkdir(h.path("plugins"), 0o755))
	put := func(data []byte) {
		must(t, os.WriteFile(h.path("plugins/process~"), data, 0o755))
		must(t, os.Rename(h.path("plugins/process~"), h.path("plugins/process")))
	}
	put(program)
	h.configure(map[string]any{"pluginsDir": h.path("plugins")})
	h.addAgent("long", agent{command: "sleep", args: []string{"1000"}})
	h.addAgent("short", agent{command: "true", heartbeat: off})
	h.start()
	h.eventually("the agent runs", func() bool { return h.agentStatus("long").Run != nil })
	running, old := h.agentStatus("long").Run.PID, h.status().Plugins[0].PID
	put([]byte("broken"))
	h.eventually("status names the broken version", func() bool { return strings.Contains(h.status().Plugins[0].Error, "neither a program of this machine") })
	if stdout, _, _ := h.cli("status"); !strings.Contains(stdout, "plugin process: the new version of its file does not serve, the old one goes on") {
		t.Errorf("status: %s", stdout)
	}
	if w := h.wake("short"); w.Run == nil || h.status().Plugins[0].PID != old {
		t.Errorf("the old version does not serve: %+v", w)
	}
	put(append(program, "2"...))
	h.eventually("the new version serves", func() bool { p := h.status().Plugins[0]; return p.PID != 0 && p.PID != old && p.Error == "" })
	if w := h.wake("short"); w.Run == nil || h.agentStatus("long").Run.PID != running {
		t.Errorf("after the swap: %+v", w)
	}
}
