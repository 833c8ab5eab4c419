package fetch

import (
	"crypto/rand"
	"errors"
	"reflect"
	"sort"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// ask sends one request for a batch and hands out the answers. An error means
// that nobody was answered.
func (s *Sealed) ask(batch []*waiter) error {
	q := s.request(batch)
	reply, err := s.client.resolve(s.ctx, q)
	s.note(err)
	if err != nil {
		return err
	}
	answers := map[string]outcome{}
	for i := range reply.Agents {
		answers[q.Agents[i].AgentID] = s.accept(&q.Agents[i], &reply.Agents[i])
	}
	for _, w := range batch {
		w.reply <- answers[w.agent.ID]
	}
	return nil
}

func (s *Sealed) request(batch []*waiter) *protocol.ResolveRequest {
	q := &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: make([]byte, protocol.NonceSize)}
	rand.Read(q.Nonce) // never fails
	seen := map[string]bool{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range batch {
		if seen[w.agent.ID] {
			continue
		}
		seen[w.agent.ID] = true
		a := protocol.AgentRequest{AgentID: w.agent.ID, CompanyID: w.agent.CompanyID, Bindings: w.agent.Bindings}
		if b := s.cache[w.agent.ID]; b != nil && fits(b, w.agent, time.Now()) {
			a.BundleID = b.Meta.BundleID
		}
		q.Agents = append(q.Agents, a)
	}
	return q
}

// fits reports whether a kept bundle can still be what the agent asks for.
func fits(b *protocol.Bundle, a Agent, now time.Time) bool {
	if b.Meta.CompanyID != a.CompanyID || now.Unix() >= b.Meta.ExpiresAt {
		return false
	}
	if len(a.Bindings) == 0 {
		return true
	}
	names := make([]string, len(a.Bindings))
	for i, x := range a.Bindings {
		names[i] = x.Name + " " + x.SecretID
	}
	have := make([]string, len(b.Meta.Refs))
	for i, r := range b.Meta.Refs {
		have[i] = r.Name + " " + r.SecretID
	}
	sort.Strings(names)
	sort.Strings(have)
	return reflect.DeepEqual(names, have)
}

// accept turns one agent's verified answer into an outcome and keeps the bundle.
func (s *Sealed) accept(q *protocol.AgentRequest, a *protocol.AgentReply) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case a.Bundle != nil:
		s.cache[q.AgentID] = a.Bundle
		return outcome{bundle: a.Bundle}
	case a.Unchanged != "":
		if b := s.cache[q.AgentID]; b != nil && b.Meta.BundleID == a.Unchanged {
			return outcome{bundle: b}
		}
		return outcome{err: errors.New("the bundle that still holds was dropped meanwhile")}
	}
	delete(s.cache, q.AgentID)
	return outcome{err: &protocol.AgentError{AgentID: q.AgentID, Refs: a.Errors}}
}

// note keeps the status.
func (s *Sealed) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.status
	st.Requests++
	st.NextAttempt = time.Time{}
	if ok := err == nil; ok != st.Reachable || st.Requests == 1 {
		st.Reachable, st.Since, st.Attempts = ok, time.Now(), 0
	}
	st.LastError = ""
	if err != nil {
		st.Attempts++
		st.LastError = err.Error()
	}
}
