package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

// The next run starts while what the last one left in TMPDIR is being removed.
func TestFullTmp(t *testing.T) {
	h := newHost(t)
	h.ownUIDs()
	must(t, os.Mkdir(h.path("outside"), 0o777))
	must(t, os.Chmod(h.path("outside"), 0o777)) // only that no link is followed saves it
	must(t, os.WriteFile(h.path("outside/file"), nil, 0o666))
	h.start()
	p := h.puppet(t, "agent", agent{})
	p.works("fill", h.path("outside"))
	p.order("exit", "0")
	h.ended1("agent")
	p.wake()
	p.works("tmp", "")
	h.eventually("only its own TMPDIR is left", func() bool {
		dirs, _ := filepath.Glob(h.path("state/agents/agent/tmp/*"))
		return len(dirs) == 1
	})
	if _, err := os.Stat(h.path("outside/file")); err != nil {
		t.Error(err)
	}
	h.stop()
}
