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
	store   *runs.Store
	agent   *config.Agent
	trigger Trigger
	state   func(string)                              // told each control.State*
	begun   func(*runs.Run)                           // told when the record is on disk
	output  func(pipe *os.File, run *runs.Run) output // takes the agent's output

	patience time.Duration // with the control plane; 0: until ctx ends
}

// output is an agent's output on its way; Stop is called once the agent is dead.
type output interface {
	Stop() (kept, lost int64, err error)
}

// do is the heartbeat: plan, resolve, start, supervise. A nil record means
// that nothing was started, and the error says why.
func (p *pass) do(ctx context.Context) (*runs.Record, error) {
	runID, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("cannot make a run id: %w", err)
	}
	p.state(control.StatePlanning)
	spec, policy, err := p.plan(ctx, runID.String())
	if err != nil {
		return nil, err
	}
	p.state(control.StateResolving)
	bundle, err := p.resolve(ctx)
	if err != nil {
		return nil, err
	}
	proc, err := p.world.sandbox.Start(*spec, bundle, *policy)
	if err != nil {
		return nil, err
	}
	return p.adopt(ctx, runID.String(), proc, bundle)
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
func (p *pass) plan(ctx context.Context, runID string) (*sandbox.LaunchSpec, *sandbox.Policy, error) {
	a := p.agent
	user, err := runAs(p.world.cfg, a)
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
	dirs, err := prepareDirs(p.world.cfg.StateDir, a.Name, user)
	if err != nil {
		return nil, nil, err
	}
	env := basicEnv(p.world.cfg, a, user, dirs, runID)
	maps.Copy(env, plan.Env) // the agent's own plain variables are among them
	policy := a.Sandbox
	policy.User = user
	return &sandbox.LaunchSpec{
		Agent: a.Name, Argv: plan.Argv, Dir: plan.Dir, Env: env, Stdin: plan.Stdin,
		Places: sandbox.Places{Dir: plan.Dir, Home: dirs.home, Tmp: dirs.tmp, Private: private(p.world.cfg)},
	}, &policy, nil
}

// private are the launcher's own files, which no agent's policy may open.
func private(cfg *config.Config) []string {
	return []string{cfg.Path, cfg.StateDir, cfg.AdaptersDir, cfg.HostKeyFile, cfg.ControlPlane.TokenFile, cfg.Socket, cfg.KeeperSocket}
}

// adopt puts the run on record, lets the waiting stage become the agent and
// stays with it to its end.
func (p *pass) adopt(ctx context.Context, runID string, proc *sandbox.Process, bundle *protocol.Bundle) (*runs.Record, error) {
	rec, err := p.record(runID, proc, bundle)
	if err != nil {
		proc.Cancel()
		return nil, err
	}
	run, err := p.store.Begin(*rec)
	if err != nil {
		proc.Cancel()
		return nil, err
	}
	defer run.Close()
	p.begun(run)
	out := p.output(proc.Output, run)
	if err := proc.Release(); err != nil {
		_, _, _ = out.Stop()
		return finish(run, sandbox.Exit{}, runs.Failed, err.Error()), err
	}
	p.state(control.StateRunning)
	err = run.Update(func(r *runs.Record) { r.State, r.Memory = runs.Running, proc.Memory })
	exit, reason := supervise(ctx, proc, rec.Deadline, p.agent.Grace, func() { p.state(control.StateStopping) })
	if err != nil && reason == "" {
		reason = err.Error()
	}
	return finishWithLog(run, exit, reason, out), nil
}

func (p *pass) record(runID string, proc *sandbox.Process, bundle *protocol.Bundle) (*runs.Record, error) {
	boot, err := sandbox.BootID()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	rec := &runs.Record{
		RunID: runID, Agent: p.agent.Name, AgentID: p.agent.ID, CompanyID: p.agent.CompanyID,
		Trigger: string(p.trigger), State: runs.Starting, Refs: runs.Refs(bundle), BundleID: bundle.Meta.BundleID,
		User: p.agent.User, PID: proc.PID, PIDStart: proc.Start, BootID: boot,
		Sandbox: proc.Level, StartedAt: now, GraceSec: p.agent.Grace.Seconds(),
	}
	if p.agent.Timeout > 0 {
		deadline := now.Add(p.agent.Timeout)
		rec.Deadline = &deadline
	}
	return rec, nil
}

func secretNames(bindings []protocol.Binding) []string {
	names := make([]string, len(bindings))
	for i, b := range bindings {
		names[i] = b.Name
	}
	return names
}
