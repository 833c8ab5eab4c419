package launcher

import (
	"context"
	"errors"
)

var errDrained = errors.New("the host is drained: agent-launcher drain --end lets heartbeats start again")

// Drain starts no heartbeat any more, ends services, and returns when nothing
// runs, see control.Daemon. It holds until Undrain or the daemon's end.
func (d *Daemon) Drain(ctx context.Context) error {
	d.log.Info("draining: no heartbeat starts")
	d.drained.Store(true)
	agents, _ := d.agents.list()
	idle := make([]<-chan struct{}, len(agents))
	for i, a := range agents {
		idle[i] = a.drain()
	}
	for _, quiet := range idle {
		select {
		case <-quiet:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	d.log.Info("drained: nothing runs")
	return nil
}

// Undrain lets heartbeats start again.
func (d *Daemon) Undrain() {
	if !d.drained.Swap(false) {
		return
	}
	d.log.Info("drained no more")
	agents, _ := d.agents.list()
	for _, a := range agents {
		a.mu.Lock()
		a.reread()
		a.mu.Unlock()
		a.trigger(look)
	}
}

// drain gives up what waits and ends a service. The channel is closed when nothing
// runs.
func (a *agent) drain() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.giveUp(errDrained)
	if a.cancel == nil {
		idle := make(chan struct{})
		close(idle)
		return idle
	}
	if a.run == nil || a.run.Record().Service {
		a.cancel(errDrained)
	}
	return a.idle
}

// reread has a relief look at the agent again. The caller holds mu.
func (a *agent) reread() {
	close(a.changed)
	a.changed = make(chan struct{})
}
