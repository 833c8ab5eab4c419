package launcher

import (
	"context"
	"fmt"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// Wake starts a heartbeat of the agent, see control.Daemon.
func (d *Daemon) Wake(ctx context.Context, name string, about control.Wake, wait bool) (*control.Woken, error) {
	a := d.agents.get(name)
	if a == nil {
		return nil, fmt.Errorf("%w: %s", control.ErrNoAgent, name)
	}
	d.log.Info("woken by an operator", zap.String("agent", name), zap.String("task", about.Task))
	done, err := a.wake(about, wait)
	if err != nil {
		return nil, err
	}
	if !wait {
		return &control.Woken{Agent: name}, nil
	}
	select {
	case woken := <-done:
		return woken, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Stop ends the agent's run, holds the agent, and returns when the run is over.
func (d *Daemon) Stop(ctx context.Context, name string) error {
	a := d.agents.get(name)
	if a == nil {
		return fmt.Errorf("%w: %s", control.ErrNoAgent, name)
	}
	d.log.Info("stopped by an operator", zap.String("agent", name))
	idle, err := a.hold()
	select {
	case <-idle:
		if err != nil {
			return fmt.Errorf("agent %s is stopped, but a restart of the launcher would start it again: %w", name, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
