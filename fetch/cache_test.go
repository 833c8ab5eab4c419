package fetch

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Unchanged, rotation, pinned version, revocation, over one source.
func TestVersionsAndCache(t *testing.T) {
	s := newSite(t)
	secret := s.CreateSecret(s.company, "TOKEN", strings.Repeat("x", 5000))
	a := s.agent("a", map[string]string{"TOKEN": secret})
	first := s.good(a)
	if again := s.good(a); again.Meta.BundleID != first.Meta.BundleID {
		t.Error("the unchanged bundle is another one")
	}
	if s.sizes[0] < 5000 || s.sizes[1] > 1000 {
		t.Errorf("a bundle took %d bytes, unchanged %d", s.sizes[0], s.sizes[1])
	}
	s.Rotate(secret, "next")
	if b := s.good(a); b.Meta.Refs[0].Version != 2 {
		t.Errorf("version %d after a rotation", b.Meta.Refs[0].Version)
	}
	s.PatchAgent(a.ID, map[string]any{"adapterConfig": map[string]any{"env": map[string]any{
		"TOKEN": map[string]any{"type": "secret_ref", "secretId": secret, "version": 1}}}})
	a.Bindings[0].Version = 1
	if b := s.good(a); b.Meta.Refs[0].Version != 1 {
		t.Errorf("version %d, pinned to 1", b.Meta.Refs[0].Version)
	}
	s.PatchSecret(secret, map[string]any{"status": "disabled"})
	var refused *protocol.AgentError
	if _, err := s.resolve(a); !errors.As(err, &refused) || refused.Refs[0].Code != protocol.CodeDisabled || refused.Refs[0].Name != "TOKEN" {
		t.Errorf("disabled: %v", err)
	}
	if s.kept() != 0 {
		t.Error("the bundle of a revoked secret is kept")
	}
	if st := s.source.Status(); !st.Reachable || st.LastError != "" {
		t.Errorf("a refusal is no outage: %+v", st)
	}
	s.PatchSecret(secret, map[string]any{"status": "active"})
	s.good(a)
	if q := s.asked[len(s.asked)-1]; q.Agents[0].BundleID != "" {
		t.Error("the dropped bundle was offered")
	}
}

// A forgotten agent's bundle goes, even if its answer is still on its way.
func TestForget(t *testing.T) {
	s := newSite(t)
	a := s.agent("a", nil)
	s.good(a)
	s.source.Forget(a.ID)
	if s.kept() != 0 {
		t.Error("kept")
	}
	arrived, open := make(chan struct{}), make(chan struct{})
	s.turn(gate(arrived, open, nil))
	ctx, cancel := context.WithCancel(context.Background())
	c := s.begin(ctx, a)
	<-arrived
	cancel()
	<-c
	s.source.Forget(a.ID)
	close(open)
	eventually(t, func() bool { return s.source.Status().Requests == 2 }, s.status)
	s.good(s.agent("b", nil)) // the dispatcher is done with a's answer
	if s.kept() != 1 {
		t.Errorf("%d bundles are kept, want that of b", s.kept())
	}
}

// The token is read for each request: a new one needs no restart.
func TestTokenRotation(t *testing.T) {
	s := newSite(t)
	a := s.agent("a", nil)
	s.good(a)
	write(t, s.options.TokenFile, "alh_wrong")
	c := s.begin(t.Context(), a)
	eventually(t, func() bool { return strings.Contains(s.source.Status().LastError, "401") }, s.status)
	write(t, s.options.TokenFile, s.token)
	if got := <-c; got.err != nil {
		t.Error(got.err)
	}
}

// A deleted host is told what to do; its agents wait for an operator.
func TestDeletedHost(t *testing.T) {
	s := newSite(t)
	a := s.agent("a", nil)
	s.PatchAgent(a.ID, map[string]any{"hostId": nil})
	s.DeleteHost(s.host)
	c := s.begin(t.Context(), a)
	eventually(t, func() bool { return strings.Contains(s.source.Status().LastError, "host deleted") }, s.status)
	if len(c) != 0 {
		t.Error("answered")
	}
}

// The control plane goes away and comes back; nobody notices but by waiting.
func TestRestart(t *testing.T) {
	s := newSite(t)
	a := s.agent("a", nil)
	before := s.good(a)
	s.Stop()
	c := s.begin(t.Context(), a)
	eventually(t, func() bool { return s.source.Status().Attempts >= 2 }, s.status)
	s.Start()
	if got := <-c; got.err != nil || got.bundle.Meta.BundleID != before.Meta.BundleID {
		t.Errorf("%v", got.err)
	}
}

func TestRecheck(t *testing.T) {
	now := time.Unix(1000, 0)
	b := &protocol.Bundle{Meta: protocol.Meta{CompanyID: "c", ExpiresAt: 1001, Refs: []protocol.Ref{
		{Name: "A", SecretID: "s", Version: 3}, {Name: "B", SecretID: "t", Version: 1}}}}
	bind := func(bs ...protocol.Binding) Agent { return Agent{CompanyID: "c", Bindings: bs} }
	binding := func(name, id string, v protocol.Selector) protocol.Binding {
		return protocol.Binding{Name: name, SecretID: id, Version: v}
	}
	for name, c := range map[string]struct {
		agent Agent
		at    time.Time
		ok    bool
	}{
		"all of the record's": {bind(), now, true},
		"same, other order":   {bind(binding("B", "t", 1), binding("A", "s", protocol.Latest)), now, true},
		"expired":             {bind(), time.Unix(1001, 0), false},
		"other company":       {Agent{CompanyID: "d"}, now, false},
		"fewer":               {bind(binding("A", "s", 0)), now, false},
		"other name":          {bind(binding("A", "s", 0), binding("C", "t", 0)), now, false},
		"other secret":        {bind(binding("A", "s", 0), binding("B", "s", 0)), now, false},
		"other version":       {bind(binding("A", "s", 2), binding("B", "t", 0)), now, false},
	} {
		if err := recheck(b, c.agent, c.at); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A bundle that has expired is not offered; one that expires while the control
// plane says unchanged is not used.
func TestExpired(t *testing.T) {
	s := newSite(t)
	a := s.agent("a", nil)
	s.good(a).Meta.ExpiresAt = 1
	s.good(a)
	if s.asked[1].Agents[0].BundleID != "" {
		t.Error("an expired bundle was offered")
	}
	s.turn(func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
		s.source.mu.Lock()
		s.source.cache[a.ID].Meta.ExpiresAt = 1
		s.source.mu.Unlock()
		forward(w, honest(r, plane))
	})
	if b, err := s.resolve(a); b != nil || err == nil || !strings.Contains(err.Error(), "expired") || !strings.Contains(err.Error(), a.ID) {
		t.Errorf("%v", err)
	}
	s.turn(nil)
	s.good(a)
}
