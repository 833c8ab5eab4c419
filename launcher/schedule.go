package launcher

import (
	"math/rand/v2"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// When an agent's heartbeats are.

func (a *agent) untilNext() (time.Duration, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.timed() {
		return 0, false
	}
	return time.Until(a.next), true
}

// due decides whether trigger starts a heartbeat: nothing but a wake starts an
// agent that is held (a wake lets it go first) or whose heartbeat is off. The
// caller holds mu and begins under it: no stop may come between.
func (a *agent) due(t Trigger) bool {
	switch {
	case t == look || a.retiring || a.held || a.d.drained.Load():
		return false
	case t == TriggerWake:
		return true
	}
	return a.cfg.Heartbeat.Enabled
}

// Pauses before a service that ended is started again, and how long it must have
// run to count as healthy.
const (
	firstPause = time.Second
	lastPause  = 5 * time.Minute
	healthy    = time.Minute
)

// schedule says when the next heartbeat is. Missed ones are not replayed; a service
// that ended by itself comes sooner, with pauses that grow. The caller holds mu.
func (a *agent) schedule(rec *runs.Record, byItself bool) {
	now := time.Now()
	if a.cfg.Lifecycle != config.LifecycleService || !byItself {
		if a.crashes = 0; a.next.Before(now) {
			a.next = now.Add(a.jittered())
		}
		return
	}
	if rec != nil && rec.EndedAt != nil && rec.EndedAt.Sub(rec.StartedAt) >= healthy {
		a.crashes = 0
	}
	pause := lastPause
	if a.crashes < 9 { // 2^9 s is more
		pause = min(firstPause<<a.crashes, lastPause)
	}
	a.crashes++
	a.next = now.Add(pause/2 + rand.N(pause/2))
}

// timed reports whether the timer may start the agent. The caller holds mu.
func (a *agent) timed() bool {
	return a.cfg.Heartbeat.Enabled && !a.held && !a.retiring && !a.d.drained.Load()
}

func (a *agent) interval() time.Duration {
	if a.cfg.Heartbeat.Interval > 0 {
		return a.cfg.Heartbeat.Interval
	}
	return a.d.world.Load().cfg.Heartbeat.Interval
}

// jittered spreads the agents of a host: the interval, give or take.
func (a *agent) jittered() time.Duration {
	spread := a.d.world.Load().cfg.Heartbeat.Jitter * (2*rand.Float64() - 1)
	return time.Duration(float64(a.interval()) * (1 + spread))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
