package launcher

import (
	"reflect"

	"github.com/agent-launcher/agent-launcher/launcher/config"
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
