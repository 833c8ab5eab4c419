package fetch

import (
	"errors"
	"slices"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// entry is one agent of a request and everybody who waits for it.
type entry struct {
	agent   Agent
	have    *protocol.Bundle // offered to the control plane, nil if none
	waiters []*waiter
}

// Room in a request, bytes, for what requestSize does not count: the fields
// around the agents, and each agent's bundle id with its key and head.
const (
	requestHead = 128
	bundleRoom  = protocol.MaxIDLen + 4
)

// requestSize is the room that an agent takes in a request. It refuses what
// the control plane would refuse: there, one bad agent spoils the request of
// all.
func requestSize(a Agent) (int, error) {
	q := &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: make([]byte, protocol.NonceSize), Agents: []protocol.AgentRequest{a.request(nil)}}
	data, err := protocol.Marshal(q)
	if err != nil {
		return 0, err
	}
	if _, err := protocol.DecodeRequest(data); err != nil {
		return 0, err
	}
	return len(data) + bundleRoom, nil
}

func (a Agent) request(have *protocol.Bundle) protocol.AgentRequest {
	q := protocol.AgentRequest{AgentID: a.ID, CompanyID: a.CompanyID, Bindings: a.Bindings}
	if have != nil {
		q.BundleID = have.Meta.BundleID
	}
	return q
}

// take returns one request's worth of those who wait, the first first. It
// leaves for the next request who does not fit any more and who asks
// differently for an agent that is in already.
func (s *Sealed) take() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var batch []*entry
	var rest []*waiter
	byID, size, now := map[string]*entry{}, requestHead, time.Now()
	for _, w := range s.waiting {
		e := byID[w.agent.ID]
		switch {
		case w.ctx.Err() != nil: // gave up
		case e != nil && e.agent.equal(w.agent):
			e.waiters = append(e.waiters, w)
		case e != nil || len(batch) == protocol.MaxAgents || size+w.size > protocol.MaxRequestSize:
			rest = append(rest, w)
		default:
			e = &entry{agent: w.agent, waiters: []*waiter{w}}
			if b := s.cache[w.agent.ID].Bundle; b != nil && recheck(b, w.agent, now) == nil {
				e.have = b
			}
			byID[w.agent.ID], batch, size = e, append(batch, e), size+w.size
		}
	}
	s.waiting = rest
	return batch
}

// putBack lets those of a batch wait on who still do, before everybody who
// came later. next is when they are asked for again, zero for at once.
func (s *Sealed) putBack(batch []*entry, next time.Time) {
	var again []*waiter
	for _, e := range batch {
		again = append(again, e.live()...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(again, s.waiting...)
	s.status.NextAttempt = next
}

// serveStale answers those of a batch that failed who may use what is kept.
func (s *Sealed) serveStale(batch []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range batch {
		kept, now := s.cache[e.agent.ID], time.Now()
		if kept.Bundle == nil || now.Sub(kept.Confirmed) > e.agent.StaleGrace || recheck(kept.Bundle, e.agent, now) != nil {
			continue
		}
		kept.Stale = true
		for _, w := range e.waiters {
			w.reply <- outcome{Resolved: kept}
		}
		e.waiters = nil
	}
}

// live returns who still waits.
func (e *entry) live() []*waiter {
	return slices.DeleteFunc(slices.Clone(e.waiters), func(w *waiter) bool { return w.ctx.Err() != nil })
}

// recheck says why a kept bundle cannot be what the agent asks for now: it is
// another company's, has other bindings, another pinned version, or expired.
func recheck(b *protocol.Bundle, a Agent, now time.Time) error {
	if b.Meta.CompanyID != a.CompanyID {
		return errors.New("it is for another company")
	}
	if now.Unix() >= b.Meta.ExpiresAt {
		return errors.New("it has expired by this host's clock")
	}
	if len(a.Bindings) == 0 { // what the record holds, which only the control plane knows
		return nil
	}
	if len(a.Bindings) != len(b.Meta.Refs) {
		return errors.New("it holds other refs")
	}
	for _, want := range a.Bindings {
		i := slices.IndexFunc(b.Meta.Refs, func(r protocol.Ref) bool { return r.Name == want.Name })
		if i < 0 || b.Meta.Refs[i].SecretID != want.SecretID ||
			want.Version != protocol.Latest && uint32(want.Version) != b.Meta.Refs[i].Version {
			return errors.New("it does not hold " + want.Name + " as the agent binds it")
		}
	}
	return nil
}
