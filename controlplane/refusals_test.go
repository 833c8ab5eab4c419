package controlplane_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/controlplane"
	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// TestRefusals: every rule of authority refuses with words that name both sides,
// all broken refs at once, and never touches the agent beside it.
func TestRefusals(t *testing.T) {
	f := newFixture(t)
	a, b := f.CreateSecret(f.company, "A", "a1"), f.CreateSecret(f.company, "B", "b1")
	f.Rotate(a, "a2")
	f.Rotate(b, "b2")
	off, gone, archived := f.CreateSecret(f.company, "OFF", "o"), f.CreateSecret(f.company, "GONE", "g"), f.CreateSecret(f.company, "ARCH", "r")
	var server struct{ ID string }
	f.Do(f.OperatorToken, "POST", "/api/companies/"+f.company+"/secrets", map[string]any{"name": "S", "value": "s", "purpose": "server"}).Decode(t, &server)
	otherHost, _, _ := f.enrol(t, f.company, "host-2")
	other := f.CreateCompany("Other")
	foreignSecret := f.CreateSecret(other, "F", "f")

	good := f.agent(t, map[string]any{"A": ref(a), "B": ref(b, 1), "MODE": "plain"})
	broken := f.agent(t, map[string]any{"GOOD": ref(a), "OFF": ref(off), "GONE": ref(gone), "ARCH": ref(archived), "SERVER": ref(server.ID), "FUTURE": ref(a, 7)})
	elsewhere, nowhere := f.agent(t, map[string]any{"A": ref(a)}), f.agent(t, nil)
	f.PatchAgent(elsewhere, map[string]any{"hostId": otherHost})
	f.PatchAgent(nowhere, map[string]any{"hostId": nil})
	f.PatchSecret(off, map[string]any{"status": "disabled"})
	f.PatchSecret(archived, map[string]any{"status": "archived"})
	f.DeleteSecret(gone)

	for _, tt := range []struct {
		name string
		ask  protocol.AgentRequest
		want map[string]string // values
		code string
		says string // in the first error
	}{
		{"listed", f.ask(good, bind("B", b, 1), bind("A", a, 0)), map[string]string{"A": "a2", "B": "b1"}, "", ""},
		{"no refs at all", f.ask(f.agent(t, nil)), map[string]string{}, "", ""},
		{"not bound", f.ask(good, bind("C", b, 0)), nil, "C:denied", "the host asks for secret " + b + " version latest, the agent's record binds nothing"},
		{"other secret", f.ask(good, bind("A", b, 0)), nil, "A:denied", "secret " + b + " version latest, the agent's record binds secret " + a + " version latest"},
		{"pinned against latest", f.ask(good, bind("A", a, 2)), nil, "A:denied", "version 2, the agent's record binds secret " + a + " version latest"},
		{"latest against pinned", f.ask(good, bind("B", b, 0)), nil, "B:denied", "version latest, the agent's record binds secret " + b + " version 1"},
		{"plain value's name", f.ask(good, bind("MODE", a, 0)), nil, "MODE:denied", "binds nothing"},
		{"foreign secret", f.ask(good, bind("A", foreignSecret, 0)), nil, "A:denied", foreignSecret},
		{"one bad of two", f.ask(good, bind("A", a, 0), bind("B", a, 1)), nil, "B:denied", "binds secret " + b},
		{"every broken ref", f.ask(broken), nil, "ARCH:disabled FUTURE:version_not_found GONE:not_found OFF:disabled SERVER:denied", "archived"},
		{"future version", f.ask(broken, bind("FUTURE", a, 7)), nil, "FUTURE:version_not_found", "version 7 does not exist, the latest is 2"},
		{"server", f.ask(broken, bind("SERVER", server.ID, 0)), nil, "SERVER:denied", "never sealed to a host"},
		{"another host's", f.ask(elsewhere), nil, "not_assigned", "another host"},
		{"no host's", f.ask(nowhere), nil, "not_assigned", "no host"},
		{"ours under another company", protocol.AgentRequest{AgentID: good, CompanyID: other}, nil, "agent_not_found", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// The good agent beside it must not be touched.
			asks := []protocol.AgentRequest{tt.ask}
			if tt.ask.AgentID != good {
				asks = append(asks, f.ask(good))
			}
			replies := f.resolve(t, asks...)
			if got := codes(replies[0]); got != tt.code {
				t.Fatalf("errors %q, want %q", got, tt.code)
			}
			if tt.code != "" && !strings.Contains(replies[0].Errors[0].Message, tt.says) {
				t.Errorf("message %q, want %q in it", replies[0].Errors[0].Message, tt.says)
			}
			if len(asks) == 2 && f.values(t, replies[1])["A"] != "a2" {
				t.Error("the good agent did not get its values")
			}
			if len(tt.want) > 0 && !maps.Equal(f.values(t, replies[0]), tt.want) {
				t.Errorf("values %v, want %v", f.values(t, replies[0]), tt.want)
			}
			if tt.want != nil && len(replies[0].Bundle.Meta.Refs) != len(tt.want) {
				t.Errorf("refs %v", replies[0].Bundle.Meta.Refs)
			}
		})
	}
}

// TestTooLarge: more than a bundle can hold is one agent's refusal.
func TestTooLarge(t *testing.T) {
	f := newFixture(t)
	env, small := map[string]any{}, f.CreateSecret(f.company, "small", "v")
	for i := range 3 {
		env[fmt.Sprint("BIG", i)] = ref(f.CreateSecret(f.company, fmt.Sprint("big", i), strings.Repeat("x", 800_000)))
	}
	replies := f.resolve(t, f.ask(f.agent(t, env)), f.ask(f.agent(t, map[string]any{"S": ref(small)})))
	if codes(replies[0]) != "too_large" || !strings.Contains(replies[0].Errors[0].Message, "2097152") {
		t.Errorf("%+v", replies[0])
	}
	if f.values(t, replies[1])["S"] != "v" {
		t.Error("the small agent did not get its value")
	}
}

// TestFullReply: agents whose bundles no longer fit into the reply are told so
// and get them in the next request.
func TestFullReply(t *testing.T) {
	f := newFixture(t)
	a := f.CreateSecret(f.company, "a", strings.Repeat("x", 1<<20))
	b := f.CreateSecret(f.company, "b", strings.Repeat("y", 1<<20-100))
	var asks []protocol.AgentRequest
	for range 34 { // of just under 2 MiB each
		asks = append(asks, f.ask(f.agent(t, map[string]any{"A": ref(a), "B": ref(b)})))
	}
	var late []protocol.AgentRequest
	for i, r := range f.resolve(t, asks...) {
		switch {
		case codes(r) == "too_large":
			late = append(late, asks[i])
		case r.Bundle == nil:
			t.Fatalf("agent %d: %+v", i, r)
		}
	}
	if len(late) == 0 || len(late) > 4 {
		t.Fatalf("%d agents did not fit, want 1 to 4", len(late))
	}
	for _, r := range f.resolve(t, late...) {
		if r.Bundle == nil {
			t.Errorf("second request: %+v", r)
		}
	}
}

// TestEveryOutcome: unchanged, withheld and refusals of the agent as a whole
// are access events too, and outlive their secret.
func TestEveryOutcome(t *testing.T) {
	f := newFixture(t)
	a, b := f.CreateSecret(f.company, "A", "a1"), f.CreateSecret(f.company, "B", "b1")
	agent := f.agent(t, map[string]any{"A": ref(a), "B": ref(b, 1)})
	show := func(e controlplanetest.Event) string {
		s := e.Outcome
		if e.Version != nil {
			s += fmt.Sprint(" v", *e.Version)
		}
		if e.ErrorCode != nil {
			s += " " + *e.ErrorCode
		}
		if e.ConfigPath != nil {
			s += " " + *e.ConfigPath
		}
		return s
	}
	last := func(secret string) string { return show(f.SecretEvents(secret)[0]) }

	first := f.resolve(t, f.ask(agent))[0]
	if last(a) != "success v1 env.A" || last(b) != "success v1 env.B" {
		t.Errorf("success: %s, %s", last(a), last(b))
	}
	ask := f.ask(agent)
	ask.BundleID = first.Bundle.Meta.BundleID
	f.resolve(t, ask)
	if last(a) != "unchanged v1 env.A" {
		t.Errorf("unchanged: %s", last(a))
	}
	f.Rotate(a, "a2")
	f.PatchSecret(b, map[string]any{"status": "disabled"})
	f.resolve(t, f.ask(agent))
	if last(a) != "withheld v2 env.A" || last(b) != "denied v1 disabled env.B" {
		t.Errorf("one disabled: %s, %s", last(a), last(b))
	}
	f.resolve(t, f.ask(agent, bind("X", a, 0)))
	if last(a) != "denied denied env.X" {
		t.Errorf("not bound: %s", last(a))
	}
	f.PatchAgent(agent, map[string]any{"status": "paused"})
	f.resolve(t, f.ask(agent))
	if last(a) != "denied agent_disabled env.A" {
		t.Errorf("paused: %s", last(a))
	}
	f.resolve(t, f.ask("no-such-agent"))
	events := f.HostEvents(f.host)
	if show(events[0]) != "denied agent_not_found" || events[0].ConsumerID != "no-such-agent" || events[0].SecretID != nil {
		t.Errorf("unknown agent: %+v", events[0])
	}
	for _, e := range events {
		if e.HostID != f.host || e.ConsumerType != "agent" || e.CreatedAt == "" {
			t.Errorf("%+v", e)
		}
	}
	f.DeleteSecret(a)
	if n := len(f.SecretEvents(a)); n != 5 {
		t.Errorf("%d events of the deleted secret, want 5", n)
	}
}

// TestForeignEvents: a host cannot write into another company's log.
func TestForeignEvents(t *testing.T) {
	f := newFixture(t)
	foreign := f.CreateSecret(f.CreateCompany("Other"), "F", "f")
	f.resolve(t, f.ask(f.agent(t, nil), bind("F", foreign, 0)))
	if events := f.SecretEvents(foreign); len(events) != 0 {
		t.Errorf("%+v", events)
	}
	if e := f.HostEvents(f.host)[0]; e.SecretID == nil || *e.SecretID != foreign || e.Outcome != "denied" {
		t.Errorf("%+v", e)
	}
}

// TestRefusalsPushOutNoDelivery: what a host was given stays on record, however
// often it asks for what it may not have, and the record stays small.
func TestRefusalsPushOutNoDelivery(t *testing.T) {
	f := newFixture(t, func(o *controlplane.Options) { o.KeepEvents = 5 })
	secret := f.CreateSecret(f.company, "A", "value-of-a")
	agent := f.agent(t, map[string]any{"A": ref(secret)})
	f.resolve(t, f.ask(agent))
	for range 20 {
		f.resolve(t, f.ask(agent, bind("B", secret, 0)))
	}
	outcomes := map[string]int{}
	for _, e := range f.SecretEvents(secret) {
		outcomes[e.Outcome]++
	}
	if outcomes["success"] != 1 || outcomes["denied"] != 5 || len(outcomes) != 2 {
		t.Errorf("%v", outcomes)
	}
}
