package fetch

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Options of a sealed source.
type Options struct {
	URL        string
	HostID     string
	TokenFile  string            // read at every request
	SigningKey ed25519.PublicKey // pinned
	CAFile     string            // PEM; empty: the system's roots
	MinWait    time.Duration     // first wait after a failure; default 500 ms
	MaxWait    time.Duration     // cap of that wait; default 30 s
	Timeout    time.Duration     // of one request; default 15 s
	Gather     time.Duration     // how long the first waiter waits for company; default 10 ms
}

// ErrUnavailable says that the control plane gave no good answer in time.
var ErrUnavailable = errors.New("control plane unavailable")

var errClosed = errors.New("the source was closed")

// Sealed is the source of the reference control plane.
type Sealed struct {
	opts   Options
	client *client
	poke   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	waiting []*waiter
	cache   map[string]*protocol.Bundle // by agent id; ciphertext
	status  Status
}

type waiter struct {
	agent Agent
	ctx   context.Context
	reply chan outcome // capacity 1
}

type outcome struct {
	bundle *protocol.Bundle
	err    error
}

// NewSealed checks the options and starts the dispatcher. Nothing is sent yet.
func NewSealed(opts Options) (*Sealed, error) {
	opts.MinWait = orDefault(opts.MinWait, 500*time.Millisecond)
	opts.MaxWait = max(orDefault(opts.MaxWait, 30*time.Second), opts.MinWait)
	opts.Timeout = orDefault(opts.Timeout, 15*time.Second)
	opts.Gather = orDefault(opts.Gather, 10*time.Millisecond)
	c, err := newClient(opts)
	if err != nil {
		return nil, fmt.Errorf("cannot use control plane: %w", err)
	}
	s := &Sealed{opts: opts, client: c, poke: make(chan struct{}, 1), done: make(chan struct{}), cache: map[string]*protocol.Bundle{}}
	s.status.Since = time.Now()
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.dispatch()
	return s, nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// Resolve implements Source.
func (s *Sealed) Resolve(ctx context.Context, a Agent) (*protocol.Bundle, error) {
	w := &waiter{agent: a, ctx: ctx, reply: make(chan outcome, 1)}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	select {
	case s.poke <- struct{}{}:
	default:
	}
	select {
	case o := <-w.reply:
		return o.bundle, o.err
	case <-ctx.Done():
		return nil, s.unavailable(ctx.Err())
	case <-s.ctx.Done():
		return nil, errClosed
	}
}

func (s *Sealed) unavailable(cause error) error {
	st := s.Status()
	if st.LastError == "" {
		return fmt.Errorf("%w: %w", ErrUnavailable, cause)
	}
	return fmt.Errorf("%w since %s: %s", ErrUnavailable, st.Since.Format(time.RFC3339), st.LastError)
}

// Status implements Source.
func (s *Sealed) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Forget drops the bundle that is kept of an agent.
func (s *Sealed) Forget(agentID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cache, agentID)
}

// Close ends the source; waiting calls fail.
func (s *Sealed) Close() {
	s.cancel()
	<-s.done
	s.client.close()
}

// dispatch sends one request at a time for everybody who waits.
func (s *Sealed) dispatch() {
	defer close(s.done)
	failures := 0
	for {
		if failures > 0 {
			if !s.sleep(s.planNext(failures)) {
				return
			}
		}
		batch := s.take()
		if len(batch) == 0 {
			select {
			case <-s.poke:
				if failures == 0 && !s.sleep(s.opts.Gather) {
					return
				}
				continue
			case <-s.ctx.Done():
				return
			}
		}
		if err := s.ask(batch); err != nil {
			failures++
			s.putBack(batch)
		} else {
			failures = 0
		}
	}
}

// planNext draws the next wait evenly from [d/2, d], d doubling from MinWait
// to MaxWait.
func (s *Sealed) planNext(failures int) time.Duration {
	wait := draw(s.opts.MinWait, s.opts.MaxWait, failures, rand.Float64())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.NextAttempt = time.Now().Add(wait)
	return wait
}

func draw(minimum, maximum time.Duration, failures int, r float64) time.Duration {
	d := minimum
	for i := 1; i < failures && d < maximum; i++ {
		d *= 2
	}
	d = min(d, maximum)
	return d/2 + time.Duration(r*float64(d/2))
}

func (s *Sealed) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// take returns who waits now, one request's worth, leaving out who has given
// up and who asks differently for an agent that is in already.
func (s *Sealed) take() []*waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	var batch, rest []*waiter
	agents := map[string]Agent{}
	for _, w := range s.waiting {
		first, in := agents[w.agent.ID]
		switch {
		case w.ctx.Err() != nil:
		case in && reflect.DeepEqual(first, w.agent):
			batch = append(batch, w)
		case in || len(agents) == protocol.MaxAgents:
			rest = append(rest, w)
		default:
			agents[w.agent.ID] = w.agent
			batch = append(batch, w)
		}
	}
	s.waiting = rest
	return batch
}

func (s *Sealed) putBack(batch []*waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(batch, s.waiting...)
}
