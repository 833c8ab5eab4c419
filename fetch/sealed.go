package fetch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

var errClosed = errors.New("the source was closed")

// Sealed is the source of the reference control plane.
type Sealed struct {
	opts   Options
	client *client
	poke   chan struct{} // capacity 1: somebody has begun to wait
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{} // closed when the dispatcher has ended

	mu      sync.Mutex
	waiting []*waiter           // in the order of arrival
	cache   map[string]Resolved // by agent id; ciphertext
	status  Status
}

// waiter is one call of Resolve.
type waiter struct {
	agent Agent
	size  int // of the agent in a request, bytes
	since time.Time
	ctx   context.Context
	reply chan outcome // capacity 1
}

type outcome struct {
	Resolved
	err error
}

// NewSealed checks the options and starts the dispatcher. Nothing is sent
// before the first Resolve.
func NewSealed(opts Options) (*Sealed, error) {
	err := opts.complete()
	var c *client
	if err == nil {
		c, err = newClient(opts)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use control plane: %w", err)
	}
	s := &Sealed{
		opts: opts, client: c, poke: make(chan struct{}, 1), done: make(chan struct{}),
		cache: map[string]Resolved{}, status: Status{Since: time.Now()},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.dispatch()
	return s, nil
}

// Resolve implements Source.
func (s *Sealed) Resolve(ctx context.Context, a Agent) (Resolved, error) {
	a.Bindings = slices.Clone(a.Bindings) // the dispatcher may read them after Resolve has returned
	size, err := requestSize(a)
	if err != nil {
		return Resolved{}, fmt.Errorf("cannot ask for agent %q: %w", a.ID, err)
	}
	w := &waiter{agent: a, size: size, ctx: ctx, reply: make(chan outcome, 1)}
	s.join(w)
	select {
	case o := <-w.reply:
		return o.Resolved, o.err
	case <-s.ctx.Done():
		return Resolved{}, fmt.Errorf("cannot resolve agent %q: %w", a.ID, errClosed)
	case <-ctx.Done():
		s.leave(w)
		return Resolved{}, fmt.Errorf("cannot resolve agent %q: %w", a.ID, s.unavailable(context.Cause(ctx)))
	}
}

func (s *Sealed) join(w *waiter) {
	s.mu.Lock()
	w.since = time.Now()
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	select {
	case s.poke <- struct{}{}:
	default: // a poke that is pending already is enough
	}
}

func (s *Sealed) leave(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(x *waiter) bool { return x == w })
}

// unavailable says what came between a waiter and its bundle.
func (s *Sealed) unavailable(cause error) error {
	st := s.Status()
	if st.LastError == "" {
		return fmt.Errorf("%w: no answer yet: %w", ErrUnavailable, cause)
	}
	return fmt.Errorf("%w since %s: %s (%w)", ErrUnavailable, st.Since.Format(time.RFC3339), st.LastError, cause)
}

// Status implements Source.
func (s *Sealed) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	if len(s.waiting) == 0 {
		st.NextAttempt = time.Time{}
	}
	return st
}

// Forget implements Source.
func (s *Sealed) Forget(agentID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, agentID)
}

// Close implements Source.
func (s *Sealed) Close() {
	s.cancel()
	<-s.done
}
