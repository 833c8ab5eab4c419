package launcher

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

// push lets services have a heartbeat as soon as the control plane says that
// something changed, until ctx ends. Without services it asks for nothing, and a
// control plane that cannot tell costs nothing but the wait for the interval.
func (d *Daemon) push(ctx context.Context) {
	for ctx.Err() == nil {
		if w := d.world.Load(); len(d.agents.services()) > 0 {
			watching, cancel := context.WithCancel(ctx)
			stop := context.AfterFunc(w.ctx, cancel) // a reload brings another source
			w.source.Watch(watching, d.changed)
			stop()
			cancel()
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// spread keeps a hundred services of one host from being replaced in one moment.
const spread = 5 * time.Millisecond

func (d *Daemon) changed() {
	services := d.agents.services()
	for _, a := range services {
		time.AfterFunc(rand.N(spread*time.Duration(len(services))), func() { a.trigger(TriggerTimer) })
	}
}

// services are the live agents of that lifecycle.
func (s *set) services() (out []*agent) {
	agents, _ := s.list()
	for _, a := range agents {
		if a.config().Lifecycle == config.LifecycleService {
			out = append(out, a)
		}
	}
	return out
}
