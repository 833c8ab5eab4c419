package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A state directory whose path is too long for the sockets of plugins works with a
// keeper of the daemon's own, and leaves nothing elsewhere.
func TestLongStateDir(t *testing.T) {
	h := newHost(t)
	tmp := h.path("tmp")
	must(t, os.Mkdir(tmp, 0o777))
	must(t, os.Chmod(tmp, 0o777))
	t.Setenv("TMPDIR", tmp)
	h.ownUIDs()
	state := h.path(strings.Repeat("s", 90-len(h.dir)))
	h.configure(map[string]any{"stateDir": state})
	h.addAgent("a", agent{command: "true", heartbeat: off})
	h.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(h.logTail())
		}
	})
	if r := h.wake("a").Run; r == nil || r.ExitCode == nil || *r.ExitCode != 0 {
		t.Errorf("%+v", r)
	}
	h.stop()
	if left, _ := filepath.Glob(tmp + "/*"); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
}
