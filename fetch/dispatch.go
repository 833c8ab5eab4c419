package fetch

import (
	"math/rand/v2"
	"time"
)

// dispatch sends one request at a time for everybody who waits. A failure
// puts off the next request whoever asks for it; good replies are followed at
// once by a request for those who came meanwhile.
func (s *Sealed) dispatch() {
	defer close(s.done)
	failures, next := 0, time.Time{}
	for s.await() && s.sleep(time.Until(next)) {
		batch := s.take()
		if len(batch) == 0 { // everybody gave up
			continue
		}
		if err := s.ask(batch); err == nil {
			failures = 0
			continue
		}
		failures++
		next = time.Now().Add(draw(s.opts.MinWait, s.opts.MaxWait, failures, rand.Float64()))
		s.putBack(batch, next)
	}
}

// await returns when somebody waits and has given company the time to come.
// False means that the source was closed.
func (s *Sealed) await() bool {
	for {
		if since, ok := s.longest(); ok {
			return s.sleep(time.Until(since.Add(s.opts.Gather)))
		}
		select {
		case <-s.poke: // perhaps of somebody who has been served already
		case <-s.ctx.Done():
			return false
		}
	}
}

// longest says since when the first of those who wait does.
func (s *Sealed) longest() (since time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return time.Time{}, false
	}
	return s.waiting[0].since, true
}

func (s *Sealed) sleep(d time.Duration) bool {
	if d <= 0 {
		return s.ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// draw returns the wait after so many failures in a row: evenly from [d/2, d],
// d doubling from minimum to maximum; r is even in [0, 1). backoff/v5 draws
// from an interval around d instead, which would need d*3/4 and a factor of
// 1/3 to mean the same.
func draw(minimum, maximum time.Duration, failures int, r float64) time.Duration {
	d := minimum
	for i := 1; i < failures && d < maximum; i++ {
		d *= 2
	}
	d = min(d, maximum)
	return d/2 + time.Duration(r*float64(d-d/2))
}
