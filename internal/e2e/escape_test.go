package e2e

import (
	"path/filepath"
	"testing"
)

// Processes that leave the agent's group, session and parents, ignore what can
// be ignored and hold no pipe: nothing of them is left, however the run ends.
func TestNothingOutlivesARun(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout int
		end     func(*puppet)
	}{
		{"stop", 0, func(p *puppet) {
			if _, stderr, code := p.h.cli("stop", p.name); code != 0 {
				p.t.Errorf("stop: exit %d, %s", code, stderr)
			}
			if left := marked(p.marker()); len(left) > 0 || lives(p.pid) {
				p.t.Errorf("after stop %v live on", left)
			}
		}},
		{"its own end", 0, func(p *puppet) { p.order("exit", "0") }},
		{"timeoutSec", 6, func(*puppet) {}},
		{"timeoutSec without a daemon", 6, func(p *puppet) { p.h.kill() }},
		{"SIGTERM to the daemon", 0, func(p *puppet) { p.h.stop() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.start()
			p := h.puppet(t, "fugitive", agent{timeout: c.timeout})
			p.works("escape", p.marker())
			// Its own group, its own session, a sibling, two orphans.
			h.eventually("all of them are there", func() bool { return len(marked(p.marker())) == 5 })
			if !lives(p.pid) {
				t.Fatal("it ended before it should")
			}
			c.end(p)
			h.eventually("none of them is left", func() bool { return len(marked(p.marker())) == 0 && !lives(p.pid) })
		})
	}
}

// marker names what a puppet starts.
func (p *puppet) marker() string { return filepath.Base(p.h.dir) + "-" + p.name }
