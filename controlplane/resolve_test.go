package controlplane_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// What an agent gets is what its own record binds, and nothing else. Each row
// changes one thing about a good situation.
func TestAuthority(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *fixture, agent, a, b string)
		ask    func(a, b string) []protocol.Binding
		want   string // codes, or NAME=value pairs
	}{
		{"all of the record", nil, nil, "A=a1 B=b1"},
		{"fewer", nil, func(a, _ string) []protocol.Binding { return []protocol.Binding{bind("A", a, 0)} }, "A=a1"},
		{"a name that is not bound", nil, func(a, _ string) []protocol.Binding { return []protocol.Binding{bind("C", a, 0)} }, "C:denied"},
		{"another secret under the name", nil, func(_, b string) []protocol.Binding { return []protocol.Binding{bind("A", b, 0)} }, "A:denied"},
		{"another version", nil, func(a, _ string) []protocol.Binding { return []protocol.Binding{bind("A", a, 1)} }, "A:denied"},
		{"latest where the record pins", nil, func(_, b string) []protocol.Binding { return []protocol.Binding{bind("B", b, 0)} }, "B:denied"},
		{"both wrong: both named", nil, func(a, b string) []protocol.Binding { return []protocol.Binding{bind("A", b, 0), bind("B", a, 1)} }, "A:denied B:denied"},
		{"rotated", func(f *fixture, _, a, b string) { f.Rotate(a, "a2"); f.Rotate(b, "b2") }, nil, "A=a2 B=b1"},
		{"patched", func(f *fixture, _, a, _ string) { f.PatchSecret(a, map[string]any{"value": "a2"}) }, nil, "A=a2 B=b1"},
		{"disabled", func(f *fixture, _, a, _ string) { f.PatchSecret(a, map[string]any{"status": "disabled"}) }, nil, "A:disabled"},
		{"disabled and enabled", func(f *fixture, _, a, _ string) {
			f.PatchSecret(a, map[string]any{"status": "disabled"})
			f.PatchSecret(a, map[string]any{"status": "active"})
		}, nil, "A=a1 B=b1"},
		{"deleted", func(f *fixture, _, a, b string) { f.DeleteSecret(a); f.DeleteSecret(b) }, nil, "A:not_found B:not_found"},
		{"renamed", func(f *fixture, _, a, _ string) { f.PatchSecret(a, map[string]any{"name": "other"}) }, nil, "A=a1 B=b1"},
		{"a version that does not exist", func(f *fixture, agent, a, _ string) {
			f.PatchAgent(agent, map[string]any{"adapterConfig": map[string]any{"env": map[string]any{"A": ref(a, 9)}}})
		}, nil, "A:version_not_found"},
		{"paused", func(f *fixture, agent, _, _ string) { f.PatchAgent(agent, map[string]any{"status": "paused"}) }, nil, "agent_disabled"},
		{"terminated", func(f *fixture, agent, _, _ string) { f.PatchAgent(agent, map[string]any{"status": "terminated"}) }, nil, "agent_disabled"},
		{"assigned to no host", func(f *fixture, agent, _, _ string) { f.PatchAgent(agent, map[string]any{"hostId": nil}) }, nil, "not_assigned"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			a, b := f.CreateSecret(f.company, "a", "a1"), f.CreateSecret(f.company, "b", "b1")
			agent := f.agent(t, map[string]any{"A": ref(a), "B": ref(b, 1), "PLAIN": "x"})
			if c.change != nil {
				c.change(f, agent, a, b)
			}
			var ask []protocol.Binding
			if c.ask != nil {
				ask = c.ask(a, b)
			}
			r := f.resolve(t, f.ask(agent, ask...))[0]
			got := codes(r)
			if r.Bundle != nil {
				var pairs []string
				values := f.values(t, r)
				for _, name := range []string{"A", "B", "C"} {
					if v, ok := values[name]; ok {
						pairs = append(pairs, name+"="+v)
					}
				}
				got = strings.Join(pairs, " ")
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// One bad agent fails alone, and one of another host or company is not said to
// exist.
func TestOneBadAgent(t *testing.T) {
	f := newFixture(t)
	secret := f.CreateSecret(f.company, "a", "a1")
	good := f.agent(t, map[string]any{"A": ref(secret)})
	other := f.CreateCompany("Other")
	foreign := f.CreateAgent(other, map[string]any{"name": "x", "adapterType": "process", "adapterConfig": map[string]any{}})
	replies := f.resolve(t, f.ask(foreign), f.ask("nobody"), f.ask(good))
	replies = append(replies, f.resolve(t, protocol.AgentRequest{AgentID: foreign, CompanyID: other})...)
	for i, want := range []string{"agent_not_found", "agent_not_found", "", "agent_not_found"} {
		if got := codes(replies[i]); got != want {
			t.Errorf("agent %d: %q, want %q", i, got, want)
		}
	}
	if f.values(t, replies[2])["A"] != "a1" {
		t.Error("the good agent")
	}
}

// unchanged is said only while nothing changed and half of the life is left.
func TestUnchanged(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(f *fixture, now *clock, agent, secret string)
		want   bool
	}{
		{"nothing changed", nil, true},
		{"a little later", func(_ *fixture, now *clock, _, _ string) { now.now = now.now.Add(time.Hour) }, true},
		{"more than half of its life later", func(_ *fixture, now *clock, _, _ string) { now.now = now.now.Add(13 * time.Hour) }, false},
		{"rotated", func(f *fixture, _ *clock, _, s string) { f.Rotate(s, "a2") }, false},
		{"renamed", func(f *fixture, _ *clock, _, s string) { f.PatchSecret(s, map[string]any{"name": "z"}) }, true},
		{"another binding", func(f *fixture, _ *clock, agent, s string) {
			f.PatchAgent(agent, map[string]any{"adapterConfig": map[string]any{"env": map[string]any{"B": ref(s)}}})
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := &clock{}
			f := newFixture(t, now.set)
			secret := f.CreateSecret(f.company, "a", "a1")
			agent := f.agent(t, map[string]any{"A": ref(secret)})
			first := f.resolve(t, f.ask(agent))[0].Bundle.Meta.BundleID
			if c.change != nil {
				c.change(f, now, agent, secret)
			}
			q := f.ask(agent)
			q.BundleID = first
			r := f.resolve(t, q)[0]
			if got := r.Unchanged == first; got != c.want {
				t.Errorf("unchanged is %v: %+v", got, r)
			}
		})
	}
	f := newFixture(t)
	q := f.ask(f.agent(t, nil))
	q.BundleID = "never-issued"
	if r := f.resolve(t, q)[0]; r.Bundle == nil {
		t.Errorf("a bundle id that was never issued: %+v", r)
	}
}

// Secrets of the server itself never leave; what belongs to Composio never comes.
func TestPurposes(t *testing.T) {
	f := newFixture(t)
	for purpose, want := range map[string]int{"infrastructure": 201, "database": 201, "storage": 201, "runtime_api_key": 201, "server": 201,
		"oauth_grant": 422, "refresh_token": 422, "connected_account": 422, "nonsense": 422} {
		r := f.Do(f.OperatorToken, "POST", "/api/companies/"+f.company+"/secrets", map[string]any{"name": purpose, "value": "hidden-value", "purpose": purpose})
		if r.Status != want || strings.Contains(string(r.Body), "hidden-value") {
			t.Errorf("%s: %d %s", purpose, r.Status, r.Body)
		}
		if composio := strings.Contains(string(r.Body), "Composio"); composio != (want == 422 && purpose != "nonsense") {
			t.Errorf("%s: %s", purpose, r.Body)
		}
		var s struct{ ID, Purpose string }
		if r.Status != 201 {
			continue
		}
		r.Decode(t, &s)
		got := codes(f.resolve(t, f.ask(f.agent(t, map[string]any{"A": ref(s.ID)})))[0])
		if want := map[bool]string{true: "A:denied"}[purpose == "server"]; got != want {
			t.Errorf("%s resolves as %q", purpose, got)
		}
	}
}

// Every resolve leaves a trace, the denied ones too.
func TestAccessEvents(t *testing.T) {
	f := newFixture(t)
	secret := f.CreateSecret(f.company, "a", "a1")
	agent := f.agent(t, map[string]any{"A": ref(secret)})
	f.resolve(t, f.ask(agent))
	f.resolve(t, f.ask(agent, bind("A", secret, 7)))
	f.PatchSecret(secret, map[string]any{"status": "disabled"})
	f.resolve(t, f.ask(agent))
	var got []string
	for _, e := range f.SecretEvents(secret) {
		code := ""
		if e.ErrorCode != nil {
			code = *e.ErrorCode
		}
		if e.ConsumerID != agent || e.HostID != f.host || *e.ConfigPath != "env.A" {
			t.Errorf("%+v", e)
		}
		got = append(got, e.Outcome+":"+code)
	}
	if fmt.Sprint(got) != "[denied:disabled denied:denied success:]" {
		t.Errorf("%v", got)
	}
}

// A resolve that begins after a rotation was acknowledged never sees the old
// version, whatever else goes on.
func TestRotationIsSeen(t *testing.T) {
	f := newFixture(t)
	secret := f.CreateSecret(f.company, "a", "1")
	agent := f.agent(t, map[string]any{"A": ref(secret)})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 { // readers that keep the database busy
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f.Resolve(f.host, f.token, request(f.ask(agent)))
				}
			}
		})
	}
	for v := 2; v <= 30; v++ {
		f.Rotate(secret, fmt.Sprint(v))
		if got := f.values(t, f.resolve(t, f.ask(agent))[0])["A"]; got != fmt.Sprint(v) {
			t.Errorf("version %d was acknowledged, %s delivered", v, got)
		}
	}
	close(stop)
	wg.Wait()
}
