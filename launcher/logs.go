package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// Logs sends an agent's output to a socket, see control.Daemon.
func (d *Daemon) Logs(name string, follow bool) (func(context.Context, *control.Stream) error, error) {
	a := d.agents.get(name)
	records, err := d.store.List(name)
	if errors.Is(err, runs.ErrName) {
		return nil, fmt.Errorf("%w: %.70q", control.ErrNoAgent, name)
	}
	if err != nil && len(records) == 0 {
		return nil, err
	}
	if a == nil && len(records) == 0 {
		return nil, fmt.Errorf("%w: %s", control.ErrNoAgent, name)
	}
	return func(ctx context.Context, to *control.Stream) error {
		if last := lastDone(records); last != nil {
			if err := d.send(ctx, last, to, func() bool { return false }); err != nil {
				return err
			}
		}
		if len(records) == 0 || records[len(records)-1].State.Done() {
			return nil
		}
		current := &records[len(records)-1]
		return d.send(ctx, current, to, func() bool { return follow && a != nil && a.runs(current.RunID) })
	}, nil
}

// followPause is how often a log is looked at for more while it is followed.
const followPause = 200 * time.Millisecond

// send sends a log. While more says so it waits for the log to grow.
func (d *Daemon) send(ctx context.Context, rec *runs.Record, to *control.Stream, more func() bool) error {
	log, err := d.store.OpenLog(rec.Agent, rec.RunID)
	if errors.Is(err, os.ErrNotExist) { // exec printed it to its terminal
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read log: %w", err)
	}
	defer log.Close()
	for {
		again := more() // asked first: what is written before the run's end is sent after it
		if err := to.Send(log); err != nil {
			return fmt.Errorf("cannot send log: %w", err)
		}
		if !again {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followPause):
		}
	}
}

func (a *agent) runs(runID string) bool {
	a.mu.Lock()
	run := a.run
	a.mu.Unlock()
	return run != nil && run.Record().RunID == runID
}
