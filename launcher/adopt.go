package launcher

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// adoptRuns takes over what an earlier daemon left with a keeper: the loops of
// agents that run wait for them, ends that nobody saw are put on record. A
// record whose run the keeper does not have is lost; a run that waits without
// one, or whose record is closed because it was given up with an earlier
// connection, is ended.
func (d *Daemon) adoptRuns(ctx context.Context, k *sandbox.Keeper) {
	left := map[string]*sandbox.Process{}
	for _, p := range k.Left() {
		left[p.Run] = p
	}
	records, err := d.store.Unfinished()
	if err != nil {
		d.log.Error("cannot read all runs of an earlier daemon", zap.Error(err))
	}
	for _, rec := range records {
		switch err := d.adoptRun(ctx, rec, left[rec.RunID]); {
		case err == nil:
			delete(left, rec.RunID)
		case !errors.Is(err, runs.ErrBusy): // else exec runs it, with a keeper of its own
			d.log.Error("cannot adopt run", zap.String("agent", rec.Agent), zap.String("run", rec.RunID), zap.Error(err))
		}
	}
	for _, p := range left {
		if !p.Waits() && !d.store.Known(p.Run) {
			d.log.Error("the keeper has a run that this stateDir knows nothing of: another daemon's, or stateDir was changed; it is left alone",
				zap.String("run", p.Run), zap.Int("pid", p.PID))
			continue
		}
		d.log.Warn("ending a run that nobody watches", zap.String("run", p.Run), zap.Int("pid", p.PID))
		d.background.Go(p.Cancel)
	}
}

func (d *Daemon) adoptRun(ctx context.Context, rec runs.Record, proc *sandbox.Process) error {
	lock, err := d.store.Lock(rec.AgentID)
	if err != nil {
		return err
	}
	run, err := d.store.Resume(rec)
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	log := d.log.With(zap.String("agent", rec.Agent), zap.String("run", rec.RunID), zap.Int("pid", rec.PID))
	if proc == nil {
		finish(run, sandbox.Exit{}, runs.Lost, "its keeper is gone, and it with it", nothing)
		log.Warn("run lost: its keeper is gone")
		return errors.Join(run.Close(), lock.Close())
	}
	log.Info("run adopted from an earlier launcher")
	ctx, cancel := context.WithCancelCause(ctx)
	adopted := &adoption{run: run, ctx: ctx, cancel: cancel, done: make(chan struct{})}
	d.agents.adopt(rec.AgentID, adopted)
	release := d.agents.ids.occupy(rec.AgentID, rec.Agent+" (begun by an earlier launcher)")
	leave := d.places.occupy()
	d.background.Go(func() {
		defer close(adopted.done)
		defer leave()
		defer release()
		defer cancel(nil)
		defer func() { _ = errors.Join(run.Close(), lock.Close()) }()
		d.seeOut(ctx, run, proc, log)
	})
	return nil
}

// seeOut stays with an adopted run to its end.
func (d *Daemon) seeOut(ctx context.Context, run *runs.Run, proc *sandbox.Process, log *zap.Logger) {
	grace := time.Duration(run.Record().GraceSec * float64(time.Second))
	watched := d.observe(run)
	exit, reason, err := supervise(ctx, proc, grace, func() {})
	if errors.Is(err, errLeaving) {
		watched.abandon()
		return
	}
	state := runs.Ended
	if !exit.Began {
		state, reason = runs.Failed, "the earlier launcher ended before the agent started"
	}
	outcome := watched.finish(ctx, &exit, reason)
	finish(run, exit, state, reason, func(r *runs.Record) { d.conclude(r, outcome) })
	proc.Forget()
	log.Info("adopted run ended", zap.Stringer("exit", exit), zap.String("reason", reason))
}

// adoption is a run of an earlier daemon that still goes on.
type adoption struct {
	run    *runs.Run
	ctx    context.Context // of the run
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// adopt makes the agent of that id wait for the run, at once or when its loop
// starts: its file may have another name by now.
func (s *set) adopt(agentID string, run *adoption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.agents {
		if id, _ := a.identity(); id == agentID && !a.hasEnded() {
			a.mu.Lock()
			a.late = append(a.late, run)
			a.mu.Unlock()
			a.trigger(look)
			return
		}
	}
	s.adopted[agentID] = append(s.adopted[agentID], run)
}

// takeLate are the runs that were adopted since the loop began.
func (a *agent) takeLate() []*adoption {
	a.mu.Lock()
	defer a.mu.Unlock()
	late := a.late
	a.late = nil
	return late
}

// orphans gives the adopted runs whose adapter files are gone an agent that
// retires after them, so that status shows them and stop reaches them. It is
// called once, after the first scan.
func (s *set) orphans() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, adopted := range s.adopted {
		name := adopted[0].run.Record().Agent
		if s.live(name) != nil { // another agent's by now; the run is supervised all the same
			continue
		}
		cfg := &config.Agent{Name: name, ID: id, CompanyID: adopted[0].run.Record().CompanyID}
		s.start(cfg, TriggerTimer)
		s.agents[name].retire()
	}
}

// outlive waits for the adopted runs of an agent before its first heartbeat,
// while a stop still reaches them.
func (a *agent) outlive(adopted []*adoption) {
	for _, run := range adopted {
		a.mu.Lock()
		a.state, a.run, a.cancel, a.idle = control.StateRunning, run.run, run.cancel, make(chan struct{})
		switch service := run.run.Record().Service; {
		case a.held:
			a.cancel(errStopped)
		case service && a.retiring:
			a.cancel(errRetired)
		case service && a.d.drained.Load():
			a.cancel(errDrained)
		}
		a.mu.Unlock()
		relief := a.relieve(run.ctx, run.run.Record(), run.cancel)
		<-run.done
		relief.stop()
		rec := run.run.Record()
		a.mu.Lock()
		a.rest(&rec)
		a.schedule(&rec, errors.Is(context.Cause(run.ctx), context.Canceled)) // that it is over, and nothing else
		next := a.successor
		a.mu.Unlock()
		if next != nil {
			a.trigger(next.pass.trigger)
		}
	}
}
