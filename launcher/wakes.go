package launcher

import (
	"fmt"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// waiter is one wake.
type waiter struct {
	control.Wake
	done chan *control.Woken
}

// wake lets a held agent go and starts a heartbeat. Wakes of one task that wait
// for it are one; each task has its own.
func (a *agent) wake(about control.Wake, wait bool) (<-chan *control.Woken, error) {
	done := make(chan *control.Woken, 1)
	a.mu.Lock()
	if a.ended {
		a.mu.Unlock()
		return nil, fmt.Errorf("%w: %s", control.ErrNoAgent, a.name)
	}
	if a.d.drained.Load() {
		a.mu.Unlock()
		return nil, errDrained
	}
	if err := a.d.store.SetHeld(a.name, false); err != nil {
		a.mu.Unlock()
		return nil, err
	}
	a.held = false
	if err := a.join(about, done, wait); err != nil {
		a.mu.Unlock()
		return nil, err
	}
	a.mu.Unlock()
	a.trigger(TriggerWake)
	return done, nil
}

// maxWakes is how many wakes of an agent may wait, for people and for tasks. Each
// has a context of up to control.MaxContext.
const maxWakes = 128

// join adds a wake to those that wait. Of one task, who does not wait for it needs
// no place of his own. The caller holds mu.
func (a *agent) join(about control.Wake, done chan *control.Woken, wait bool) error {
	for i := range a.waiters {
		if a.waiters[i].Task == about.Task {
			a.waiters[i].Wake = about // what was said last holds
			if !wait {
				return nil
			}
		}
	}
	if len(a.waiters) >= maxWakes {
		return fmt.Errorf("agent %s has %d wakes that wait for a heartbeat: what keeps it from one? See agent-launcher explain %s", a.name, len(a.waiters), a.name)
	}
	a.waiters = append(a.waiters, waiter{about, done})
	return nil
}

// nextTask takes the wakes of the oldest task: one heartbeat is about one. What
// was said last holds. The caller holds mu.
func (a *agent) nextTask() (about control.Wake, taken []waiter) {
	var rest []waiter
	for _, w := range a.waiters {
		if len(taken) > 0 && w.Task != taken[0].Task {
			rest = append(rest, w)
			continue
		}
		about, taken = w.Wake, append(taken, w)
	}
	a.waiters = rest
	return about, taken
}

// giveUp answers the wakes that no heartbeat will answer now. The caller holds mu.
func (a *agent) giveUp(why error) {
	hb := &control.Heartbeat{At: time.Now(), Trigger: string(TriggerWake), Error: why.Error()}
	if s := a.successor; s != nil {
		a.waiters, a.successor = append(s.waiters, a.waiters...), nil
	}
	for _, w := range a.waiters {
		w.done <- &control.Woken{Agent: a.name, Heartbeat: hb}
	}
	a.waiters = nil
}
