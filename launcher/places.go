package launcher

import (
	"context"
	"slices"
	"sync"
)

// places bounds how many runs go on at a time, first come, first served.
type places struct {
	limit func() int // 0: none

	mu      sync.Mutex
	used    int
	waiting []chan struct{}
}

// take waits for a free place; the error is the cause of ctx's end. waits is
// called if it has to. Call release once.
func (p *places) take(ctx context.Context, waits func()) (release func(), err error) {
	p.mu.Lock()
	if len(p.waiting) == 0 && p.free() {
		p.used++
		p.mu.Unlock()
		return p.release, nil
	}
	turn := make(chan struct{})
	p.waiting = append(p.waiting, turn)
	p.mu.Unlock()
	waits()
	select {
	case <-turn:
		return p.release, nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.waiting, turn); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
	} else { // it was given one at this moment
		p.used--
		p.next()
	}
	return nil, context.Cause(ctx)
}

// occupy takes a place for a run that goes on already, beyond the limit if need be.
func (p *places) occupy() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used++
	return p.release
}

func (p *places) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used--
	p.next()
}

// look hands out places after the limit has changed.
func (p *places) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next()
}

func (p *places) free() bool { l := p.limit(); return l == 0 || p.used < l }

func (p *places) next() {
	for len(p.waiting) > 0 && p.free() {
		close(p.waiting[0])
		p.waiting = p.waiting[1:]
		p.used++
	}
}

// leavePlace frees the agent's place among maxRuns, unless a successor needs it:
// nobody comes in between. The loop alone calls it.
func (a *agent) leavePlace() {
	a.mu.Lock()
	kept := a.successor != nil
	a.mu.Unlock()
	if a.place != nil && !kept {
		a.place()
		a.place = nil
	}
}
