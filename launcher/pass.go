package launcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/fetch"
	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
	"github.com/agent-launcher/agent-launcher/launcher/sessions"
	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// Trigger says why a heartbeat happens.
type Trigger string

// The triggers.
const (
	TriggerTimer   Trigger = "timer"
	TriggerWake    Trigger = "wake"
	TriggerConfig  Trigger = "config"
	TriggerReload  Trigger = "reload"
	TriggerRequest Trigger = "request" // exec
)

// pass is one heartbeat of one agent.
type pass struct {
	world   *world
	keeper  *keeperLink
	store   *runs.Store
	agent   *config.Agent
	trigger Trigger
	task    string          // what it is about; empty: nothing in particular
	wake    json.RawMessage // what whoever woke the agent said beside
	state   func(string)    // told each control.State*
	begun   func(*runs.Run) // told when the record is on disk
	output  *os.File        // takes the agent's output in place of a log; nil: the log
	daemon  *Daemon         // observes the run and keeps its session; nil: exec, which has no log
	ready   *prepared       // by a relief, while the run before went on; nil: nothing yet

	patience time.Duration // with the control plane; 0: until ctx ends
}

// prepared is a heartbeat that has all it needs to start.
type prepared struct {
	plan   *planned
	bundle fetch.Resolved
}

// do is the heartbeat: plan, resolve, start, supervise. A nil record means
// that nothing was started, and the error says why.
func (p *pass) do(ctx context.Context) (*runs.Record, error) {
	keeper, err := p.keeper.get()
	if err != nil {
		return nil, err
	}
	// Not before: with the keeper come the runs that an earlier daemon left, and
	// whoever adopts one holds its agent's lock.
	lock, err := p.store.Lock(p.agent.ID)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	ready, err := p.prepare(ctx, keeper.Host())
	if err != nil {
		return nil, err
	}
	run, proc, err := p.start(keeper, ready)
	if err != nil {
		return nil, err
	}
	return p.adopt(ctx, run, proc)
}

// prepare plans and resolves. What a relief had ready is used only if the control
// plane is not there any more: what was rotated meanwhile must not be missed.
func (p *pass) prepare(ctx context.Context, host sandbox.Host) (*prepared, error) {
	if p.ready != nil {
		p.patience = reliefPatience
	}
	fresh, err := p.prepareNow(ctx, host)
	if p.ready == nil || !errors.Is(err, fetch.ErrUnavailable) || ctx.Err() != nil || p.world.source.Status().Refused {
		return fresh, err
	}
	old := p.ready.bundle
	if time.Since(old.Confirmed) > max(p.agent.StaleGrace, p.agent.Grace+readyFor) {
		return nil, err
	}
	old.Stale = true
	plan, err := p.plan(ctx, p.ready.plan.spec.Run, host, p.session()) // of the session that the run before has left
	if err != nil {
		return nil, err
	}
	return &prepared{plan, old}, nil
}

// reliefPatience is how long the control plane may take once the run before has
// ended for a relief that has a bundle of a moment ago, and readyFor how old that
// may be beside the grace of the run before.
const (
	reliefPatience = 2 * time.Second
	readyFor       = 10 * time.Second
)

func (p *pass) prepareNow(ctx context.Context, host sandbox.Host) (*prepared, error) {
	runID, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("cannot make a run id: %w", err)
	}
	p.state(control.StatePlanning)
	session := p.session()
	plan, err := p.plan(ctx, runID.String(), host, session)
	if err != nil {
		return nil, err
	}
	p.state(control.StateResolving)
	bundle, err := p.resolve(ctx)
	if err != nil {
		return nil, err
	}
	if session != nil && !slices.Equal(session.Refs, runs.Refs(bundle.Bundle)) { // it knows of other secrets: afresh
		if plan, err = p.plan(ctx, runID.String(), host, nil); err != nil {
			return nil, err
		}
	}
	return &prepared{plan, bundle}, nil
}

// session is the one that the task's last run left; nil: start afresh.
func (p *pass) session() *sessions.Session {
	if p.daemon == nil {
		return nil
	}
	s, err := p.daemon.sessions.Get(p.agent.ID, p.agent.AdapterType, p.task)
	if err != nil {
		p.daemon.log.Warn("starting afresh: the last session is lost", zap.String("agent", p.agent.Name), zap.Error(err))
	}
	return s
}

func (p *pass) resolve(ctx context.Context) (fetch.Resolved, error) {
	if p.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.patience)
		defer cancel()
	}
	return p.world.source.Resolve(ctx, fetch.Agent{ID: p.agent.ID, CompanyID: p.agent.CompanyID, Bindings: p.agent.Bindings, StaleGrace: p.agent.StaleGrace})
}

// planned is what to run, and what its adapter wants to know again.
type planned struct {
	spec    *sandbox.LaunchSpec
	policy  *sandbox.Policy
	session *runs.Session // that the adapter was given
	carry   []byte
}

// plan asks the adapter what to run and adds what every agent gets.
func (p *pass) plan(ctx context.Context, runID string, host sandbox.Host, session *sessions.Session) (*planned, error) {
	a, out := p.agent, &planned{}
	if session != nil {
		out.session = &session.Session
	}
	user, err := runAs(p.world.cfg, a, host)
	if err != nil {
		return nil, err
	}
	plan, err := p.world.plugins.Plan(ctx, a.AdapterType, adapter.PlanRequest{
		AgentID: a.ID, AgentName: a.Name, CompanyID: a.CompanyID, RunID: runID, Trigger: string(p.trigger),
		Config: a.AdapterConfig, Env: a.Plain, SecretNames: secretNames(a.Bindings),
		Task: p.task, Wake: p.wake, Session: resumed(out.session),
	})
	if err != nil {
		return nil, err
	}
	base, err := makeBase(p.world.cfg.StateDir, a.Name)
	if err != nil {
		return nil, err
	}
	dirs := dirsOf(p.world.cfg.StateDir, a.Name, runID)
	env := basicEnv(p.world.cfg, a, user, dirs, runID)
	maps.Copy(env, plan.Env) // the agent's own plain variables are among them
	policy := a.Sandbox
	policy.User = user
	out.policy, out.carry = &policy, plan.Carry
	out.spec = &sandbox.LaunchSpec{
		Agent: a.Name, Run: runID, Argv: plan.Argv, Dir: plan.Dir, Env: env, Stdin: plan.Stdin,
		Timeout: sooner(a.Timeout, plan.Timeout), Grace: a.Grace,
		Places: sandbox.Places{Dir: plan.Dir, Home: dirs.home, Tmp: dirs.tmp, Base: base, Private: private(p.world.cfg)},
	}
	return out, unmet(a, plan, out, host)
}

// sooner is the shorter of two timeouts, where 0 is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// private are the launcher's own files, which no agent's policy may open.
func private(cfg *config.Config) []string {
	return []string{cfg.Path, cfg.StateDir, cfg.AdaptersDir, cfg.HostKeyFile, cfg.ControlPlane.TokenFile, cfg.Socket, cfg.KeeperSocket}
}

// start makes the log, has the keeper fork the stage, and puts the run on
// record: only then may the stage go on. Whatever fails leaves nothing behind.
func (p *pass) start(k *sandbox.Keeper, ready *prepared) (*runs.Run, *sandbox.Process, error) {
	plan, bundle, spec := ready.plan, ready.bundle, ready.plan.spec
	if spec.Log = p.output; spec.Log == nil {
		log, err := p.store.CreateLog(p.agent.Name, spec.Run)
		if err != nil {
			return nil, nil, err
		}
		defer log.Close()
		spec.Log, spec.MaxLog = log, runs.MaxLog
	}
	proc, err := k.Start(*spec, bundle.Bundle, *plan.policy)
	if err != nil {
		p.store.RemoveLog(p.agent.Name, spec.Run)
		return nil, nil, err
	}
	run, err := p.store.Begin(p.record(proc, bundle, plan))
	if err != nil {
		proc.Cancel()
		p.store.RemoveLog(p.agent.Name, spec.Run)
		return nil, nil, err
	}
	return run, proc, nil
}

// adopt lets the waiting stage become the agent and stays with it to its end.
func (p *pass) adopt(ctx context.Context, run *runs.Run, proc *sandbox.Process) (*runs.Record, error) {
	defer run.Close()
	p.begun(run)
	memory, err := proc.Release()
	if err != nil {
		return finish(run, sandbox.Exit{}, runs.Failed, err.Error(), nothing), err
	}
	p.state(control.StateRunning)
	unwritten := run.Update(func(r *runs.Record) { r.State, r.Memory = runs.Running, memory })
	watched := p.observe(run)
	exit, reason, err := supervise(ctx, proc, p.agent.Grace, func() { p.state(control.StateStopping) })
	if err != nil {
		watched.abandon()
		return nil, err
	}
	if unwritten != nil && reason == "" {
		reason = unwritten.Error()
	}
	outcome := watched.finish(ctx, &exit, reason)
	rec := finish(run, exit, runs.Ended, reason, func(r *runs.Record) { p.daemon.conclude(r, outcome) })
	proc.Forget()
	return rec, nil
}

// observe is nil for exec, whose output is not in a log.
func (p *pass) observe(run *runs.Run) *observation {
	if p.daemon == nil {
		return nil
	}
	return p.daemon.observe(run)
}

func (p *pass) record(proc *sandbox.Process, bundle fetch.Resolved, plan *planned) runs.Record {
	now := time.Now()
	rec := runs.Record{
		RunID: proc.Run, Agent: p.agent.Name, AgentID: p.agent.ID, CompanyID: p.agent.CompanyID,
		Trigger: string(p.trigger), State: runs.Starting, Refs: runs.Refs(bundle.Bundle), BundleID: bundle.Meta.BundleID, NotMaskable: runs.NotMaskable(bundle.Bundle),
		PID: proc.PID, Sandbox: proc.Level, StartedAt: now, GraceSec: p.agent.Grace.Seconds(),
		AdapterType: p.agent.AdapterType, Task: p.task, Resumed: plan.session, Carry: plan.carry, ConfigSum: sumOf(p.agent),
		Service: p.agent.Lifecycle == config.LifecycleService,
	}
	if bundle.Stale {
		rec.StaleSince = &bundle.Confirmed
	}
	if plan.policy.User != nil {
		rec.User = plan.policy.User.Name
	}
	if plan.spec.Timeout > 0 {
		deadline := now.Add(plan.spec.Timeout)
		rec.Deadline = &deadline
	}
	return rec
}

func secretNames(bindings []protocol.Binding) []string {
	names := make([]string, len(bindings))
	for i, b := range bindings {
		names[i] = b.Name
	}
	return names
}
