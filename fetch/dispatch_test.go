package fetch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// All who are due share one request, each asked for once, and one bad agent
// fails alone.
func TestOneRequestForAll(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Gather = 500 * time.Millisecond })
	secret := s.CreateSecret(s.company, "TOKEN", "value-of-a-secret")
	agents := []Agent{{ID: "nobody", CompanyID: s.company}}
	for i := range 20 {
		agents = append(agents, s.agent(fmt.Sprint("a", i), map[string]string{"TOKEN": secret}))
	}
	var wg sync.WaitGroup
	for _, a := range append(agents, agents...) {
		wg.Go(func() {
			b, err := s.resolve(a)
			var refused *protocol.AgentError
			if a.ID == "nobody" {
				if !errors.As(err, &refused) || refused.AgentID != "nobody" || refused.Refs[0].Code != protocol.CodeAgentNotFound {
					t.Errorf("nobody: %v", err)
				}
			} else if err != nil || b.Meta.AgentID != a.ID {
				t.Errorf("%s: %v", a.ID, err)
			}
		})
	}
	wg.Wait()
	if n := s.requests(); n != 1 || s.source.Status().Requests != 1 {
		t.Errorf("%d requests", n)
	}
}

// gate holds the first request back until it is opened. then, if any, answers
// the later ones.
func gate(arrived chan<- struct{}, open <-chan struct{}, then attack) attack {
	var once sync.Once
	return func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
		answer := then
		once.Do(func() { close(arrived); <-open; answer = nil })
		if answer != nil {
			answer(w, r, plane)
			return
		}
		forward(w, honest(r, plane))
	}
}

// together lets agents join one after the other while a request is on its way,
// so that they share the next one, which then answers, if it is not nil.
func (s *site) together(then attack, agents ...Agent) []<-chan answer {
	s.t.Helper()
	arrived, open := make(chan struct{}), make(chan struct{})
	s.turn(gate(arrived, open, then))
	first := s.begin(s.t.Context(), Agent{ID: "first", CompanyID: s.company})
	<-arrived
	var answers []<-chan answer
	for _, a := range agents {
		answers = append(answers, s.begin(s.t.Context(), a))
		eventually(s.t, func() bool { return s.waiting() == len(answers) }, s.status)
	}
	close(open)
	<-first
	return answers
}

// Those who come while a request is on its way share the next one.
func TestNextBatch(t *testing.T) {
	s := newSite(t)
	for _, c := range s.together(nil, s.agent("a", nil), s.agent("b", nil), s.agent("c", nil)) {
		if got := <-c; got.err != nil {
			t.Error(got.err)
		}
	}
	if n := s.requests(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// Who asks differently for an agent that is in a request goes into the next.
func TestAskedDifferently(t *testing.T) {
	s := newSite(t, func(o *Options) { o.Gather = 200 * time.Millisecond })
	secret := s.CreateSecret(s.company, "TOKEN", "value-of-a-secret")
	a := s.agent("a", map[string]string{"TOKEN": secret})
	pinned := a
	pinned.Bindings = []protocol.Binding{{Name: "TOKEN", SecretID: secret, Version: 1}}
	one, two := s.begin(t.Context(), a), s.begin(t.Context(), pinned)
	if got := <-one; got.err != nil {
		t.Error(got.err)
	}
	var refused *protocol.AgentError
	if got := <-two; !errors.As(got.err, &refused) || refused.Refs[0].Code != protocol.CodeDenied {
		t.Errorf("not bound like that: %v", got.err)
	}
	if n := s.requests(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// A request holds 256 agents and 8 MiB; the proxy decodes each one as the
// control plane does.
func TestManyAndLarge(t *testing.T) {
	s := newSite(t)
	var wide []protocol.Binding
	for i := range protocol.MaxRefs {
		name := fmt.Sprintf("N%0*d", protocol.MaxNameLen-1, i)
		wide = append(wide, protocol.Binding{Name: name, SecretID: strings.Repeat("s", protocol.MaxIDLen)})
	}
	for _, c := range []struct{ agents, bindings int }{
		{protocol.MaxAgents + 44, 0},
		{90, protocol.MaxRefs}, // about 100 KB each
	} {
		before := s.requests()
		var agents []Agent
		for i := range c.agents {
			agents = append(agents, Agent{ID: fmt.Sprint("nobody", i), CompanyID: s.company, Bindings: wide[:c.bindings]})
		}
		for _, w := range s.together(nil, agents...) {
			var refused *protocol.AgentError
			if got := <-w; !errors.As(got.err, &refused) {
				t.Error(got.err)
			}
		}
		if n := s.requests() - before - 1; n != 2 {
			t.Errorf("%d agents with %d bindings: %d requests, want 2", c.agents, c.bindings, n)
		}
	}
}

// Bundles that do not fit into one reply come with the next; what fits into
// none is refused for good. The refusals of a full reply are forged: a real
// one takes 64 MiB of bundles, too slow for a busy machine.
func TestFullReply(t *testing.T) {
	s := newSite(t)
	value, secrets := strings.Repeat("v", protocol.MaxValueSize-1000), map[string]string{}
	for _, name := range []string{"A", "B", "C"} {
		secrets[name] = s.CreateSecret(s.company, name, value)
	}
	agents := []Agent{s.agent("a", nil), s.agent("large", secrets), s.agent("c", nil)}
	answers := s.together(nil, agents...)
	var refused *protocol.AgentError
	if got := <-answers[1]; !errors.As(got.err, &refused) || !tooMuchAtOnce(&protocol.AgentReply{Errors: refused.Refs}) {
		t.Errorf("large: %v", got.err)
	}
	if got := s.requests(); got != 3 { // the gate, all three, large alone
		t.Errorf("%d requests", got)
	}
	full := s.signer().forge(func(r *protocol.ResolveReply) {
		for i := range r.Agents[1:] {
			r.Agents[1+i] = protocol.AgentReply{AgentID: r.Agents[1+i].AgentID, Errors: refused.Refs}
		}
	})
	answers = s.together(full, agents[0], agents[2], s.agent("d", nil))
	for _, c := range answers {
		if got := <-c; got.err != nil {
			t.Error(got.err)
		}
	}
	if got := s.requests(); got != 3+4 { // the gate, all three, two, one
		t.Errorf("%d requests", got)
	}
}

// An agent that the control plane could not even decode would fail everybody.
func TestSpoilers(t *testing.T) {
	s := newSite(t)
	for name, a := range map[string]Agent{
		"no id":        {CompanyID: "c"},
		"no company":   {ID: "a"},
		"long id":      {ID: strings.Repeat("x", 129), CompanyID: "c"},
		"not UTF-8":    {ID: "\xff", CompanyID: "c"},
		"bound twice":  {ID: "a", CompanyID: "c", Bindings: []protocol.Binding{{Name: "A", SecretID: "s"}, {Name: "A", SecretID: "t"}}},
		"no such name": {ID: "a", CompanyID: "c", Bindings: []protocol.Binding{{Name: "A B", SecretID: "s"}}},
	} {
		if _, err := s.resolve(a); err == nil || errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := s.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Who gives up hears since when and why; nobody asks for him any more.
func TestGivingUp(t *testing.T) {
	s := newSite(t)
	a, reason := s.agent("a", nil), errors.New("stopped by an operator")
	s.turn(respond(http.StatusInternalServerError, "<html>"))
	ctx, cancel := context.WithCancelCause(context.Background())
	c := s.begin(ctx, a)
	eventually(t, func() bool { return s.source.Status().Attempts > 0 }, s.status)
	cancel(reason)
	got := (<-c).err
	if !errors.Is(got, ErrUnavailable) || !errors.Is(got, reason) {
		t.Error(got)
	}
	since := s.source.Status().Since.Format(time.RFC3339)
	for _, part := range []string{a.ID, since, "500"} {
		if !strings.Contains(got.Error(), part) {
			t.Errorf("%q misses %q", got, part)
		}
	}
	if st := s.source.Status(); s.waiting() != 0 || !st.NextAttempt.IsZero() {
		t.Errorf("an attempt is planned for nobody: %+v", st)
	}
	s.turn(nil)
	s.good(s.agent("b", nil))
	last := s.asked[len(s.asked)-1]
	if len(last.Agents) != 1 || last.Agents[0].AgentID == a.ID {
		t.Errorf("asked for %+v", last.Agents)
	}
	if _, err := s.source.Resolve(ctx, a); !errors.Is(err, reason) {
		t.Errorf("began without hope: %v", err)
	}
}

// Who gives up during a request that fails is not asked for again.
func TestGivingUpDuringARequest(t *testing.T) {
	s := newSite(t, func(o *Options) { o.MinWait = time.Hour })
	arrived, open := make(chan struct{}), make(chan struct{})
	s.turn(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		close(arrived)
		<-open
		w.WriteHeader(http.StatusInternalServerError)
	})
	ctx, cancel := context.WithCancel(t.Context())
	c := s.begin(ctx, s.agent("a", nil))
	<-arrived
	cancel()
	<-c
	s.source.join(&waiter{agent: s.agent("b", nil), ctx: t.Context(), reply: make(chan outcome, 1)})
	close(open)
	eventually(t, func() bool { return !s.source.Status().NextAttempt.IsZero() }, s.status)
	if n := s.waiting(); n != 1 {
		t.Errorf("%d are waiting, want b alone", n)
	}
}

// A good reply ends the outage: the next one begins with the shortest wait.
func TestWaitsBeginAnew(t *testing.T) {
	s := newSite(t, func(o *Options) { o.MaxWait = time.Hour })
	a, fail := s.agent("a", nil), respond(http.StatusInternalServerError, "")
	for range 2 {
		s.turn(fail)
		c := s.begin(t.Context(), a)
		eventually(t, func() bool { return s.source.Status().Attempts >= 1 && !s.source.Status().NextAttempt.IsZero() }, s.status)
		if st := s.source.Status(); st.Attempts == 1 && st.NextAttempt.Sub(st.Since) > 320*time.Millisecond { // at least 640 ms as the seventh
			t.Errorf("the first wait is %s", st.NextAttempt.Sub(st.Since))
		}
		eventually(t, func() bool { return s.source.Status().Attempts >= 6 }, s.status)
		s.turn(nil)
		if got := <-c; got.err != nil {
			t.Error(got.err)
		}
	}
}

// Each request has a nonce of its own.
func TestNonces(t *testing.T) {
	s := newSite(t)
	a, seen := s.agent("a", nil), map[string]bool{}
	for range 10 {
		s.good(a)
	}
	for _, q := range s.asked {
		seen[string(q.Nonce)] = true
	}
	if len(seen) != 10 {
		t.Errorf("%d nonces in 10 requests", len(seen))
	}
}

// Close ends whatever is going on and leaves nothing behind.
func TestClose(t *testing.T) {
	for name, c := range map[string]struct {
		attack attack
		until  func(s *site) bool
	}{
		"between attempts": {respond(http.StatusInternalServerError, ""), func(s *site) bool { return !s.source.Status().NextAttempt.IsZero() }},
		"during a request": {hang(false), func(s *site) bool { return s.requests() == 1 }},
		"while dripping":   {hang(true), func(s *site) bool { return s.requests() == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(o *Options) { o.MinWait = time.Hour })
			s.source.Close()
			leaks := goleak.IgnoreCurrent()
			s.source = open(t, s.options)
			s.turn(c.attack)
			waiters := []<-chan answer{s.begin(context.Background(), Agent{ID: "a", CompanyID: "c"}), s.begin(context.Background(), Agent{ID: "b", CompanyID: "c"})}
			eventually(t, func() bool { return c.until(s) }, s.status)
			before := s.source.Status()
			s.source.Close()
			for _, w := range waiters {
				if got := <-w; got.bundle != nil || !errors.Is(got.err, errClosed) {
					t.Errorf("%v", got.err)
				}
			}
			if now := s.source.Status(); now.Requests != before.Requests || now.LastError != before.LastError {
				t.Errorf("Close counts as a failure: %+v", now)
			}
			s.source.Close()
			if _, err := s.source.Resolve(context.Background(), Agent{ID: "a", CompanyID: "c"}); !errors.Is(err, errClosed) {
				t.Errorf("after Close: %v", err)
			}
			s.proxy.Close()
			goleak.VerifyNone(t, leaks)
		})
	}
}
