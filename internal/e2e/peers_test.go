package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// Who may not be stopped from making unix sockets is refused by those who
// listen: neither the daemon nor the keeper takes orders from an agent, by
// whatever way it comes, with a daemon or without.
func TestNoAgentGivesOrders(t *testing.T) {
	h := newHost(t)
	h.start()
	attacker, keeper := h.buildAttacker(t), h.path("state/keeper.sock")
	free := h.puppet(t, "free", agent{sandbox: map[string]any{"profile": "off"}})
	sockets := h.puppet(t, "sockets", agent{sandbox: map[string]any{"unixSockets": true}})
	if says := outside(t, attacker, "control", h.socket); says != "done" {
		t.Errorf("an operator: %s: the attack itself does not work", says)
	}
	ways := []string{"", "sibling:", "orphan:"} // the last gives up for good what keeps orphans below the agent
	for _, p := range []*puppet{free, sockets} {
		for _, way := range ways {
			p.denied(way+"control", h.socket)
			p.denied(way+"control-left", h.socket)
			p.denied(way+"hello", keeper)
			p.denied(way+"hello-left", keeper)
		}
	}
	h.kill()
	for _, p := range []*puppet{free, sockets} {
		for _, way := range ways {
			p.denied(way+"hello", keeper)
			p.denied(way+"hello-left", keeper)
		}
	}
	if says := outside(t, attacker, "hello", keeper); says != "done" {
		t.Errorf("a launcher after a killed one: %s: the attack itself does not work", says)
	}
	h.start()
	h.stop()
}

// outside runs an attack as a process that is no agent.
func outside(t *testing.T, attacker string, args ...string) string {
	t.Helper()
	stdout, stderr, code := runCommand(t, exec.Command(attacker, args...))
	if code != 0 {
		t.Fatalf("%v: exit %d, %s", args, code, stderr)
	}
	return strings.TrimSpace(stdout)
}
