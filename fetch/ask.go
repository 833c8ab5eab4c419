package fetch

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// ask sends one request for a batch and hands out the answers. An error means
// that nobody was answered.
func (s *Sealed) ask(batch []*entry) error {
	q := &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: make([]byte, protocol.NonceSize)}
	rand.Read(q.Nonce) // never fails: crypto/rand aborts the process instead
	for _, e := range batch {
		q.Agents = append(q.Agents, e.agent.request(e.have))
	}
	reply, err := s.client.resolve(s.ctx, q)
	if s.ctx.Err() != nil { // closed: nobody waits, and the control plane is not to blame
		return s.ctx.Err()
	}
	s.note(err)
	if err != nil {
		if !errors.Is(err, errHostRefused) { // which may be a revocation
			s.serveStale(batch)
		}
		return err
	}
	var full []*entry
	for i, e := range batch { // Verify has matched them, entry by entry
		if i > 0 && tooMuchAtOnce(&reply.Agents[i]) {
			full = append(full, e)
			continue
		}
		o := s.accept(e, &reply.Agents[i])
		for _, w := range e.waiters {
			w.reply <- o
		}
	}
	s.putBack(full, time.Time{})
	return nil
}

// tooMuchAtOnce tells a refusal that may come only from the company an agent
// was asked with: the bundles of all did not fit into one reply. Who stands
// first in a request had all the room, so asking again comes to an end.
func tooMuchAtOnce(a *protocol.AgentReply) bool {
	return len(a.Errors) == 1 && a.Errors[0].Code == protocol.CodeTooLarge && a.Errors[0].Name == ""
}

// accept turns one agent's verified answer into an outcome, and keeps the
// bundle unless nobody waits for the agent any more: it may be gone.
func (s *Sealed) accept(e *entry, a *protocol.AgentReply) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, e.agent.ID)
	bundle := a.Bundle
	switch {
	case len(a.Errors) > 0:
		return outcome{err: &protocol.AgentError{AgentID: e.agent.ID, Refs: a.Errors}}
	case a.Unchanged != "": // names the bundle that was offered: Match has seen to it
		bundle = e.have
		if err := recheck(bundle, e.agent, time.Now()); err != nil {
			return outcome{err: fmt.Errorf("cannot resolve agent %q: the bundle that should still hold does not: %w", e.agent.ID, err)}
		}
	}
	got := Resolved{Bundle: bundle, Confirmed: time.Now()}
	if len(e.live()) > 0 {
		s.cache[e.agent.ID] = got
	}
	return outcome{Resolved: got}
}

// note keeps the status.
func (s *Sealed) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.status
	st.Requests++
	if ok := err == nil; ok != st.Reachable || st.Requests == 1 {
		st.Reachable, st.Since, st.Attempts = ok, time.Now(), 0
	}
	st.LastError, st.Refused = "", errors.Is(err, errHostRefused)
	if err != nil {
		st.Attempts++
		st.LastError = printable(err.Error())
	}
}
