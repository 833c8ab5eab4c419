package launcher

import (
	"context"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/fetch"
	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
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
	state   func(string)    // told each control.State*
	begun   func(*runs.Run) // told when the record is on disk
	output  *os.File        // takes the agent's output in place of a log; nil: the log

	patience time.Duration // with the control plane; 0: until ctx ends
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
	runID, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("cannot make a run id: %w", err)
	}
	p.state(control.StatePlanning)
	spec, policy, err := p.plan(ctx, runID.String(), keeper.Host())
	if err != nil {
		return nil, err
	}
	p.state(control.StateResolving)
	bundle, err := p.resolve(ctx)
	if err != nil {
		return nil, err
	}
	run, proc, err := p.start(keeper, spec, bundle, policy)
	if err != nil {
		return nil, err
	}
	return p.adopt(ctx, run, proc)
}

func (p *pass) resolve(ctx context.Context) (*protocol.Bundle, error) {
	if p.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.patience)
		defer cancel()
	}
	return p.world.source.Resolve(ctx, fetch.Agent{ID: p.agent.ID, CompanyID: p.agent.CompanyID, Bindings: p.agent.Bindings})
}

// plan asks the adapter what to run and adds what every agent gets.
func (p *pass) plan(ctx context.Context, runID string, host sandbox.Host) (*sandbox.LaunchSpec, *sandbox.Policy, error) {
	a := p.agent
	user, err := runAs(p.world.cfg, a, host)
	if err != nil {
		return nil, nil, err
	}
	plan, err := p.world.plugins.Plan(ctx, a.AdapterType, adapter.PlanRequest{
		AgentID: a.ID, AgentName: a.Name, CompanyID: a.CompanyID, RunID: runID, Trigger: string(p.trigger),
		Config: a.AdapterConfig, Env: a.Plain, SecretNames: secretNames(a.Bindings),
	})
	if err != nil {
		return nil, nil, err
	}
	base, err := makeBase(p.world.cfg.StateDir, a.Name)
	if err != nil {
		return nil, nil, err
	}
	dirs := dirsOf(p.world.cfg.StateDir, a.Name, runID)
	env := basicEnv(p.world.cfg, a, user, dirs, runID)
	maps.Copy(env, plan.Env) // the agent's own plain variables are among them
	policy := a.Sandbox
	policy.User = user
	return &sandbox.LaunchSpec{
		Agent: a.Name, Run: runID, Argv: plan.Argv, Dir: plan.Dir, Env: env, Stdin: plan.Stdin,
		Timeout: a.Timeout, Grace: a.Grace,
		Places: sandbox.Places{Dir: plan.Dir, Home: dirs.home, Tmp: dirs.tmp, Base: base, Private: private(p.world.cfg)},
	}, &policy, nil
}

// private are the launcher's own files, which no agent's policy may open.
func private(cfg *config.Config) []string {
	return []string{cfg.Path, cfg.StateDir, cfg.AdaptersDir, cfg.HostKeyFile, cfg.ControlPlane.TokenFile, cfg.Socket, cfg.KeeperSocket}
}

// start makes the log, has the keeper fork the stage, and puts the run on
// record: only then may the stage go on. Whatever fails leaves nothing behind.
func (p *pass) start(k *sandbox.Keeper, spec *sandbox.LaunchSpec, bundle *protocol.Bundle, policy *sandbox.Policy) (*runs.Run, *sandbox.Process, error) {
	if spec.Log = p.output; spec.Log == nil {
		log, err := p.store.CreateLog(p.agent.Name, spec.Run)
		if err != nil {
			return nil, nil, err
		}
		defer log.Close()
		spec.Log, spec.MaxLog = log, runs.MaxLog
	}
	proc, err := k.Start(*spec, bundle, *policy)
	if err != nil {
		p.store.RemoveLog(p.agent.Name, spec.Run)
		return nil, nil, err
	}
	run, err := p.store.Begin(p.record(proc, bundle, policy))
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
		return finish(run, sandbox.Exit{}, runs.Failed, err.Error()), err
	}
	p.state(control.StateRunning)
	unwritten := run.Update(func(r *runs.Record) { r.State, r.Memory = runs.Running, memory })
	exit, reason, err := supervise(ctx, proc, p.agent.Grace, func() { p.state(control.StateStopping) })
	if err != nil {
		return nil, err
	}
	if unwritten != nil && reason == "" {
		reason = unwritten.Error()
	}
	rec := finish(run, exit, runs.Ended, reason)
	proc.Forget()
	return rec, nil
}

func (p *pass) record(proc *sandbox.Process, bundle *protocol.Bundle, policy *sandbox.Policy) runs.Record {
	now := time.Now()
	rec := runs.Record{
		RunID: proc.Run, Agent: p.agent.Name, AgentID: p.agent.ID, CompanyID: p.agent.CompanyID,
		Trigger: string(p.trigger), State: runs.Starting, Refs: runs.Refs(bundle), BundleID: bundle.Meta.BundleID,
		PID: proc.PID, Sandbox: proc.Level, StartedAt: now, GraceSec: p.agent.Grace.Seconds(),
	}
	if policy.User != nil {
		rec.User = policy.User.Name
	}
	if p.agent.Timeout > 0 {
		deadline := now.Add(p.agent.Timeout)
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
