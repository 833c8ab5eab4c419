package controlplane_test

import (
	"sync"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/controlplane"
	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// TestUnchangedEdges: what does and what does not end a bundle, one at a time.
func TestUnchangedEdges(t *testing.T) {
	type env struct {
		*fixture
		*clock
		a, b, agent string
		ask         protocol.AgentRequest
	}
	for _, tt := range []struct {
		name   string
		change func(*env)
		want   string // unchanged, bundle, or codes
	}{
		{"just before half", func(e *env) { e.now = e.now.Add(29 * time.Minute) }, "unchanged"},
		{"after half", func(e *env) { e.now = e.now.Add(31 * time.Minute) }, "bundle"},
		{"expired", func(e *env) { e.now = e.now.Add(2 * time.Hour) }, "bundle"},
		{"patched value", func(e *env) { e.PatchSecret(e.a, map[string]any{"value": "a1"}) }, "bundle"},
		{"rotated, but pinned", func(e *env) { e.Rotate(e.b, "b2") }, "unchanged"},
		{"disabled", func(e *env) { e.PatchSecret(e.a, map[string]any{"status": "disabled"}) }, "A:disabled"},
		{"deleted", func(e *env) { e.DeleteSecret(e.b) }, "B:not_found"},
		{"paused", func(e *env) { e.PatchAgent(e.agent, map[string]any{"status": "paused"}) }, "agent_disabled"},
		{"unassigned", func(e *env) { e.PatchAgent(e.agent, map[string]any{"hostId": nil}) }, "not_assigned"},
		{"binding gone", func(e *env) {
			e.PatchAgent(e.agent, map[string]any{"adapterConfig": map[string]any{"env": map[string]any{"A": ref(e.a)}}})
		}, "bundle"},
		{"binding renamed", func(e *env) {
			e.PatchAgent(e.agent, map[string]any{"adapterConfig": map[string]any{"env": map[string]any{"AA": ref(e.a), "B": ref(e.b, 1)}}})
		}, "bundle"},
		{"plain value changed", func(e *env) {
			e.PatchAgent(e.agent, map[string]any{"adapterConfig": map[string]any{"env": map[string]any{"A": ref(e.a), "B": ref(e.b, 1), "P": "x"}}})
		}, "unchanged"},
		{"other bundle id", func(e *env) { e.ask.BundleID = "00000000-0000-4000-8000-000000000000" }, "bundle"},
		{"fewer asked for", func(e *env) { e.ask.Bindings = []protocol.Binding{bind("A", e.a, 0)} }, "bundle"},
		{"all asked for by name", func(e *env) { e.ask.Bindings = []protocol.Binding{bind("B", e.b, 1), bind("A", e.a, 0)} }, "unchanged"},
		{"restart", func(e *env) { e.Stop(); e.Start() }, "unchanged"},
		{"another host key", func(e *env) {
			public, _ := controlplanetest.HostKey(t)
			key, err := protocol.ParseKey(protocol.PublicKeyPrefix, public, protocol.PublicKeySize)
			if err != nil {
				t.Fatal(err)
			}
			alter(t, e.Server, `UPDATE hosts SET public_key = ? WHERE id = ?`, key, e.host)
		}, "bundle"},
		{"another host", func(e *env) {
			e.host, e.token, _ = e.enrol(t, e.company, "host-2")
			e.PatchAgent(e.agent, map[string]any{"hostId": e.host})
		}, "bundle"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{}
			e := &env{clock: c, fixture: newFixture(t, c.set, func(o *controlplane.Options) { o.BundleTTL = time.Hour })}
			e.a, e.b = e.CreateSecret(e.company, "A", "a1"), e.CreateSecret(e.company, "B", "b1")
			e.agent = e.fixture.agent(t, map[string]any{"A": ref(e.a), "B": ref(e.b, 1)})
			e.ask = e.fixture.ask(e.agent)
			meta := e.resolve(t, e.ask)[0].Bundle.Meta
			if got := time.Unix(meta.ExpiresAt, 0).Sub(e.now); got > time.Hour || got < time.Hour-2*time.Second {
				t.Errorf("bundle lives %v", got)
			}
			e.ask.BundleID = meta.BundleID
			tt.change(e)
			r := e.resolve(t, e.ask)[0]
			got := codes(r)
			switch {
			case r.Bundle != nil:
				got = "bundle"
			case r.Unchanged != "":
				got = "unchanged"
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestUnchangedRace: once a rotation is acknowledged no resolve delivers, or
// calls unchanged, what was before it. Both refs are of one moment.
func TestUnchangedRace(t *testing.T) {
	f := newFixture(t)
	a := f.CreateSecret(f.company, "A", "v")
	agent := f.agent(t, map[string]any{"A": ref(a), "AGAIN": ref(a)})
	const rotations = 60
	var acknowledged struct {
		sync.Mutex
		version uint32
	}
	acknowledged.version = 1
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v := uint32(2); v < rotations; v++ {
			if res := f.Do(f.OperatorToken, "POST", "/api/secrets/"+a+"/rotate", map[string]any{"value": "v"}); res.Status != 200 {
				t.Errorf("rotate: %d %s", res.Status, res.Body)
				return
			}
			acknowledged.Lock()
			acknowledged.version = v
			acknowledged.Unlock()
		}
	}()
	var have protocol.Meta
	for running := true; running; {
		select {
		case <-done:
			running = false // one more, after the last rotation
		default:
		}
		acknowledged.Lock()
		least := acknowledged.version
		acknowledged.Unlock()
		q := request(f.ask(agent))
		q.Agents[0].BundleID = have.BundleID
		reply, err := sign.Verify(f.SigningKey, f.Resolve(f.host, f.token, q).Body, q, f.host)
		if err != nil {
			t.Fatal(err)
		}
		if b := reply.Agents[0].Bundle; b != nil {
			have = b.Meta
		}
		if v := have.Refs[0].Version; v < least || v != have.Refs[1].Version {
			t.Fatalf("versions %d and %d after version %d was acknowledged", v, have.Refs[1].Version, least)
		}
	}
	if have.Refs[0].Version != rotations-1 {
		t.Errorf("last version %d, want %d", have.Refs[0].Version, rotations-1)
	}
}
