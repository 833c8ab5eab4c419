package launcher

import (
	"os"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// notes say what this build does not protect, so that nobody has to find out.
var notes = [...]string{
	"agent output is not masked yet: a value that an agent prints is in its 0600 log file",
	"cgroups are not built yet: a process that leaves its agent's process group outlives it",
	"the keeper is not built yet: the launcher's uid can read the host key file, and a stop of the launcher ends its agents",
}

// Status is the daemon at a glance.
func (d *Daemon) Status() *control.Status {
	w := d.world.Load()
	d.mu.Lock()
	loaded := control.Config{File: d.path, LoadedAt: d.loadedAt, Error: d.configErr}
	d.mu.Unlock()
	agents, problems := d.agents.list()
	s := &control.Status{
		Version: d.version, PID: os.Getpid(), StartedAt: d.startedAt, Config: loaded,
		ControlPlane: controlPlane(w), Plugins: []control.Plugin{}, Agents: []control.Agent{},
		Problems: problems, Notes: notes[:],
	}
	types, err := w.plugins.Types()
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	pids := w.plugins.PIDs()
	for _, t := range types {
		s.Plugins = append(s.Plugins, control.Plugin{Type: t, PID: pids[t]})
	}
	for _, a := range agents {
		s.Agents = append(s.Agents, a.status())
	}
	return s
}

func controlPlane(w *world) control.ControlPlane {
	st := w.source.Status()
	cp := control.ControlPlane{
		URL: w.cfg.ControlPlane.URL, HostID: w.cfg.ControlPlane.HostID, Reachable: st.Reachable, Since: st.Since,
		LastError: st.LastError, Attempts: st.Attempts, Requests: st.Requests,
	}
	if !st.NextAttempt.IsZero() {
		cp.NextAttempt = &st.NextAttempt
	}
	return cp
}

// Ready reports whether the control plane has answered.
func (d *Daemon) Ready() bool { return d.world.Load().source.Status().Reachable }

func (a *agent) status() control.Agent {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := control.Agent{
		Name: a.name, ID: a.cfg.ID, CompanyID: a.cfg.CompanyID, AdapterType: a.cfg.AdapterType, User: a.cfg.User,
		State: a.shownState(), Sandbox: string(a.cfg.Sandbox.Profile), LastHeartbeat: a.lastBeat, LastRun: a.lastRun,
		Coalesced: a.coalesced, ConfigError: a.configErr, WaitsFor: a.waitsFor,
	}
	if a.run != nil {
		rec := a.run.Record()
		s.Run = &rec
	}
	if !a.held && a.cfg.Heartbeat.Enabled && !a.retiring {
		next := a.next
		s.NextHeartbeat = &next
	}
	return s
}

func (a *agent) shownState() string {
	switch {
	case a.retiring:
		return control.StateRetiring
	case a.cancel != nil:
		return a.state
	case a.held:
		return control.StateHeld
	case !a.cfg.Heartbeat.Enabled:
		return control.StateDisabled
	}
	return a.state
}
