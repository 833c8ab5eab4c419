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

// adoptRuns takes over the runs that a killed daemon left behind: agents that
// still run keep their deadline and can be stopped, and their loops wait for
// them; the others are put on record as lost.
func (d *Daemon) adoptRuns(ctx context.Context) {
	records, err := d.store.Unfinished()
	if err != nil {
		d.log.Error("cannot read all runs of an earlier daemon", zap.Error(err))
	}
	for _, rec := range records {
		if err := d.adoptRun(ctx, rec); err != nil {
			d.log.Error("cannot adopt run", zap.String("agent", rec.Agent), zap.String("run", rec.RunID), zap.Error(err))
		}
	}
}

func (d *Daemon) adoptRun(ctx context.Context, rec runs.Record) error {
	run, err := d.store.Resume(rec)
	if err != nil {
		return err
	}
	log := d.log.With(zap.String("agent", rec.Agent), zap.String("run", rec.RunID), zap.Int("pid", rec.PID))
	proc, err := attach(rec)
	if errors.Is(err, sandbox.ErrGone) {
		finish(run, sandbox.Exit{}, runs.Lost, "it ended while no launcher watched")
		log.Warn("run lost: it ended while no launcher watched")
		return run.Close()
	}
	if err != nil {
		return errors.Join(err, run.Close())
	}
	log.Info("run adopted from an earlier launcher; its further output is not kept")
	ctx, cancel := context.WithCancelCause(ctx)
	adopted := &adoption{run: run, cancel: cancel, done: make(chan struct{})}
	d.agents.adopt(rec.AgentID, adopted)
	release := d.agents.ids.occupy(rec.AgentID, rec.Agent+" (begun by an earlier launcher)")
	d.background.Go(func() {
		defer close(adopted.done)
		defer release()
		defer cancel(nil)
		exit, reason := supervise(ctx, proc, rec.Deadline, time.Duration(rec.GraceSec*float64(time.Second)), func() {})
		state := runs.Ended
		if rec.State == runs.Starting && exit.Known && exit.Code == CannotStart {
			state, reason = runs.Failed, "the earlier launcher ended before the agent started"
		}
		finish(run, exit, state, reason)
		log.Info("adopted run ended", zap.Stringer("exit", exit), zap.String("reason", reason))
		_ = run.Close()
	})
	return nil
}

// adoption is a run of an earlier daemon that still goes on.
type adoption struct {
	run    *runs.Run
	cancel context.CancelCauseFunc
	done   chan struct{}
}

func attach(rec runs.Record) (*sandbox.Attached, error) {
	boot, err := sandbox.BootID()
	if err != nil {
		return nil, err
	}
	if boot != rec.BootID { // pids of another boot mean nothing
		return nil, sandbox.ErrGone
	}
	return sandbox.Attach(rec.PID, rec.PIDStart)
}

// adopt makes the agent of that id, once its loop starts, wait for the run: its
// file may have another name by now.
func (s *set) adopt(agentID string, run *adoption) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adopted[agentID] = append(s.adopted[agentID], run)
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
		if a.held {
			a.cancel(errStopped)
		}
		a.mu.Unlock()
		<-run.done
		rec := run.run.Record()
		a.mu.Lock()
		a.rest(&rec)
		a.mu.Unlock()
	}
}
