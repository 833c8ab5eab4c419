package launcher

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// retainEvery is how often runs are looked at that are too old or too large. How
// many an agent has is looked at after each.
const retainEvery = time.Minute

// retain keeps records and logs within the configuration's bounds until ctx ends.
func (d *Daemon) retain(ctx context.Context) {
	tick := time.NewTicker(retainEvery)
	defer tick.Stop()
	for {
		keep := d.world.Load().cfg.Retention
		since := time.Time{}
		if keep.Age > 0 {
			since = time.Now().Add(-keep.Age)
		}
		if err := d.store.Retain(since, keep.Bytes); err != nil {
			d.log.Warn("cannot remove old runs", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
