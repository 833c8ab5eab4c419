package launcher

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/launcher/runs"
	"github.com/agent-launcher/agent-launcher/launcher/sessions"
	"github.com/agent-launcher/agent-launcher/plugins"
	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// observation has a run's adapter read its log, as it grows, and say what the
// run came to. It never holds up the run: who finishes it waits for a while at
// most, and an adapter that fails meanwhile gets the whole log once more then.
type observation struct {
	d      *Daemon
	run    *runs.Run
	ended  chan struct{} // closed by finish
	exit   adapter.Exit  // valid then
	result chan *adapter.Outcome
	cancel context.CancelFunc
}

// observePatience is what the adapter has for the rest of a log.
const (
	observePatience = 10 * time.Second
	leavingPatience = 2 * time.Second // when the run was ended, or the daemon ends
)

// observe begins to observe a run that has a log. Call finish or abandon.
func (d *Daemon) observe(run *runs.Run) *observation {
	ctx, cancel := context.WithCancel(context.Background())
	o := &observation{d: d, run: run, ended: make(chan struct{}), result: make(chan *adapter.Outcome, 1), cancel: cancel}
	go func() {
		outcome, err := o.attempt(ctx)
		if err != nil && !errors.Is(err, plugins.ErrNoObserver) && !errors.Is(err, os.ErrNotExist) {
			o.wait(ctx)
			outcome, err = o.attempt(ctx) // its log has all of it
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, plugins.ErrNoObserver) {
			rec := run.Record()
			d.log.Warn("cannot observe a run", zap.String("agent", rec.Agent), zap.String("run", rec.RunID), zap.Error(err))
		}
		o.result <- outcome
	}()
	return o
}

// finish says how the run ended and waits for what its adapter makes of it: nil
// if it makes nothing, or nobody observes. ctx is the run's.
func (o *observation) finish(ctx context.Context, exit *sandbox.Exit, reason string) *adapter.Outcome {
	if o == nil {
		return nil
	}
	o.exit = adapter.Exit{Code: exit.Code, Signal: int(exit.Signal), Reason: reason}
	close(o.ended)
	defer o.cancel()
	late := time.NewTimer(observePatience)
	defer late.Stop()
	defer context.AfterFunc(ctx, func() { late.Reset(leavingPatience) })() // somebody waits for the end
	select {
	case outcome := <-o.result:
		return outcome
	case <-late.C:
		rec := o.run.Record()
		o.d.log.Warn("an adapter did not finish to observe a run", zap.String("agent", rec.Agent), zap.String("run", rec.RunID))
		return nil
	}
}

// abandon leaves the run to the next daemon.
func (o *observation) abandon() {
	if o != nil {
		o.cancel()
	}
}

func (o *observation) wait(ctx context.Context) {
	select {
	case <-o.ended:
	case <-ctx.Done():
	}
}

// attempt observes the run from the first byte of its log to the last.
func (o *observation) attempt(ctx context.Context) (*adapter.Outcome, error) {
	rec := o.run.Record()
	log, err := o.d.store.OpenLog(rec.Agent, rec.RunID)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	to, err := o.d.world.Load().plugins.Observe(ctx, rec.AdapterType, &adapter.Observation{
		AgentID: rec.AgentID, AgentName: rec.Agent, CompanyID: rec.CompanyID, RunID: rec.RunID,
		Task: rec.Task, Session: resumed(rec.Resumed), Carry: rec.Carry,
	}, o.progress)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	if err := o.follow(ctx, to, log); err != nil {
		return nil, err
	}
	return to.Finish(o.exit)
}

// follow copies the log until the run has ended. A plugin that listens no more
// says why when it is asked to finish.
func (o *observation) follow(ctx context.Context, to *plugins.Observer, log io.Reader) error {
	for ended := false; ; {
		if _, err := io.Copy(to, log); errors.Is(err, io.ErrClosedPipe) {
			o.wait(ctx)
			return ctx.Err()
		} else if err != nil {
			return err
		}
		if ended {
			return nil
		}
		select {
		case <-o.ended:
			ended = true // once more: what was written before the end
		case <-to.Done():
			o.wait(ctx)
			return ctx.Err()
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followPause):
		}
	}
}

func (o *observation) progress(text string) {
	o.run.Note(func(r *runs.Record) { r.Progress = text })
}

func resumed(s *runs.Session) *adapter.Session {
	if s == nil {
		return nil
	}
	return &adapter.Session{ID: s.ID, State: s.State}
}

// conclude puts what an adapter makes of a run into the record, and the session
// where the next run of the task finds it.
func (d *Daemon) conclude(rec *runs.Record, outcome *adapter.Outcome) {
	if outcome == nil {
		return
	}
	rec.Outcome = &runs.Outcome{
		InputTokens: outcome.Usage.InputTokens, OutputTokens: outcome.Usage.OutputTokens, CachedInputTokens: outcome.Usage.CachedInputTokens,
		CostUSD: outcome.CostUSD, Summary: outcome.Summary, Error: outcome.Error, ErrorClass: string(outcome.Class),
	}
	if rec.Reason == "" && outcome.Error != "" { // exit 0 is not success
		rec.Reason = outcome.Error + " (" + string(outcome.Class) + ")"
	}
	var err error
	if s := outcome.Session; s != nil {
		rec.Outcome.SessionID = s.ID
		err = d.sessions.Put(rec.AgentID, sessions.Session{
			Session: runs.Session{ID: s.ID, State: s.State}, Task: rec.Task, AdapterType: rec.AdapterType, Refs: rec.Refs,
		})
	} else {
		err = d.sessions.Drop(rec.AgentID, rec.Task)
	}
	if err != nil {
		d.log.Error("the agent's next run cannot resume this one's session", zap.String("agent", rec.Agent), zap.Error(err))
	}
}
