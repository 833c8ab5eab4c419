package launcher

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// Explain says what an agent may do and why it does not run, see
// control.Daemon. It asks the agent's adapter for a plan, as a heartbeat would,
// and changes nothing.
func (d *Daemon) Explain(ctx context.Context, name string, about control.Subjects) (*control.Explanation, error) {
	w := d.world.Load()
	a := d.agents.get(name)
	if a == nil {
		return d.explainInvalid(w, name)
	}
	status, cfg := a.status(), a.config()
	plane := controlPlane(w)
	x := &control.Explanation{Agent: name, File: cfg.File, NotRunning: whyNotRunning(&status, &plane), Verdicts: []sandbox.Verdict{}}
	x.Policy, x.RunsAs = w.explain(ctx, cfg, d.host())
	for _, path := range about.Paths {
		x.Verdicts = append(x.Verdicts, x.Policy.Path(path))
	}
	for _, port := range about.Ports {
		x.Verdicts = append(x.Verdicts, x.Policy.Port(port))
	}
	return x, nil
}

// explainInvalid is for an agent whose file was never valid.
func (d *Daemon) explainInvalid(w *world, name string) (*control.Explanation, error) {
	file := filepath.Join(w.cfg.AdaptersDir, name+".json")
	_, problems := d.agents.list()
	for _, p := range problems {
		if strings.HasPrefix(p, file+":") {
			return &control.Explanation{Agent: name, File: file, NotRunning: "its file was never valid: " + oneLine(p), Verdicts: []sandbox.Verdict{}}, nil
		}
	}
	return nil, fmt.Errorf("%w: %.70q", control.ErrNoAgent, name)
}

// host is what the keeper can enforce, or what the kernel could with one.
func (d *Daemon) host() sandbox.Host {
	if k, err := d.keeper.state(); err == nil {
		return k.Host()
	}
	return sandbox.KernelAlone()
}

func (w *world) explain(ctx context.Context, a *config.Agent, host sandbox.Host) (*sandbox.Explained, string) {
	policy, dirs := a.Sandbox, dirsOf(w.cfg.StateDir, a.Name, "RUNID")
	places := sandbox.Places{Home: dirs.home, Tmp: dirs.tmp, Private: private(w.cfg)}
	user, runsAs, uerr := w.identity(a, host)
	policy.User = user
	argv0, path := "", ""
	plan, perr := w.plugins.Plan(ctx, a.AdapterType, adapter.PlanRequest{
		AgentID: a.ID, AgentName: a.Name, CompanyID: a.CompanyID, RunID: uuid.Nil.String(), Trigger: string(TriggerRequest),
		Config: a.AdapterConfig, Env: a.Plain, SecretNames: secretNames(a.Bindings),
	})
	if perr == nil {
		places.Dir, path = plan.Dir, plan.Env["PATH"]
		if path == "" {
			path = basicEnv(w.cfg, a, nil, dirs, "")["PATH"]
		}
		if len(plan.Argv) > 0 {
			argv0 = plan.Argv[0]
		}
	}
	x := sandbox.Explain(policy, places, argv0, path, host)
	for _, err := range []error{uerr, perr} {
		if err != nil {
			x.Problems = append(x.Problems, err.Error())
		}
	}
	return x, runsAs
}

// nobodyYet stands for an agent's uid before it has one: no file is its own.
const nobodyYet = math.MaxUint32 - 1

func (w *world) identity(a *config.Agent, host sandbox.Host) (*sandbox.User, string, error) {
	user, first, err := wouldRunAs(w.cfg, a, host)
	switch {
	case err != nil:
		return nil, "nobody: that fails", err
	case first:
		return ownUser(nobodyYet), "a uid of its own out of uidRange, given at its first heartbeat", nil
	case user == nil:
		return nil, fmt.Sprintf("uid %d, the keeper's own, without capabilities: only Landlock separates the agents that share it", host.UID), nil
	case a.User == "":
		return user, fmt.Sprintf("uid %d, its own out of uidRange", user.UID), nil
	}
	return user, fmt.Sprintf("user %s, uid %d", user.Name, user.UID), nil
}

func (a *agent) config() *config.Agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cfg
}
