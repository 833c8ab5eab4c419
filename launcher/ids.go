package launcher

import (
	"context"
	"sync"
)

// ids lets one run of an agent id go on at a time. Agents are known by the
// names of their files, and files are renamed, swapped and copied: whatever the
// watcher saw of that and when, a heartbeat holds its agent's id from before it
// resolves until its run is over.
type ids struct {
	mu   sync.Mutex
	held map[string]*claim
}

// claim is an id in use.
type claim struct {
	by   string // whose run it is, for people
	n    int    // more than one only of adopted runs
	free chan struct{}
}

func newIDs() *ids { return &ids{held: map[string]*claim{}} }

// acquire waits until the id is free or ctx ends; the error is the cause of
// that. waits is told for whom, each time it changes. Call release once.
func (s *ids) acquire(ctx context.Context, id, by string, waits func(forWhom string)) (release func(), err error) {
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		other := s.try(id, by)
		if other == nil {
			return func() { s.release(id) }, nil
		}
		waits(other.by)
		select {
		case <-other.free:
		case <-ctx.Done():
		}
	}
}

// try claims the id, or returns the claim that is in the way.
func (s *ids) try(id, by string) *claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.held[id]; c != nil {
		return c
	}
	s.held[id] = &claim{by: by, n: 1, free: make(chan struct{})}
	return nil
}

// occupy claims an id for a run that goes on already, beside others if need be.
func (s *ids) occupy(id, by string) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.held[id]; c != nil {
		c.n++
	} else {
		s.held[id] = &claim{by: by, n: 1, free: make(chan struct{})}
	}
	return func() { s.release(id) }
}

func (s *ids) release(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.held[id]
	if c.n--; c.n == 0 {
		delete(s.held, id)
		close(c.free)
	}
}
