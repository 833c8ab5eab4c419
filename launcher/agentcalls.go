package launcher

import (
	"fmt"
	"reflect"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// What others tell an agent: the directory of adapter files, operators, a reload.

// trigger pokes the agent; a trigger that is pending already is enough.
func (a *agent) trigger(t Trigger) {
	select {
	case a.poke <- t:
	default:
		if t != look {
			a.mu.Lock()
			a.coalesced++
			a.mu.Unlock()
		}
	}
}

// update takes a new configuration over. A heartbeat that has not started its
// agent yet starts again with it; a run goes on to its end. It returns false
// if the loop has ended and a new one is needed.
func (a *agent) update(cfg *config.Agent, t Trigger) bool {
	a.mu.Lock()
	if a.ended {
		a.mu.Unlock()
		return false
	}
	changed := a.retiring || !reflect.DeepEqual(a.cfg, cfg)
	a.cfg, a.configErr, a.retiring = cfg, "", false
	if changed {
		a.reread()
	}
	if changed && a.run == nil && a.cancel != nil {
		a.cancel(errSuperseded)
	}
	a.mu.Unlock()
	if changed || t == TriggerReload {
		a.trigger(t)
	}
	return true
}

// retire ends the agent after the run in progress.
func (a *agent) retire() {
	a.mu.Lock()
	a.retiring = true
	if a.cancel != nil && (a.run == nil || a.run.Record().Service) { // which would not end
		a.cancel(errRetired)
	}
	a.mu.Unlock()
	a.trigger(look)
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

// maxWakes is how many wakes of an agent may wait, for people and for tasks.
const maxWakes = 1000

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

// hold stops the agent's run, if there is one, and keeps it from starting. The
// channel is closed when nothing runs any more. An error says that this could
// not be remembered over a restart; the agent is stopped all the same, since
// one that fills the disk is the one to stop.
func (a *agent) hold() (<-chan struct{}, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held = true
	a.giveUp(errStopped)
	idle := a.idle
	if a.cancel != nil {
		a.cancel(errStopped)
	} else {
		idle = make(chan struct{})
		close(idle)
	}
	return idle, a.d.store.SetHeld(a.name, true)
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
