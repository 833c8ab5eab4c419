package launcher

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// notes say what this build and this host do not protect, so that nobody has
// to find out.
func notes(k *control.Keeper, h sandbox.Host, cfg *config.Config) []string {
	out := []string{}
	if !k.Separated {
		out = append(out, "the keeper is not separated (no keeperSocket in the configuration): the launcher's uid can read the host key file")
	}
	if k.PID == 0 { // what follows is the keeper's to say
		return out
	}
	if k.NoCgroup != "" {
		out = append(out, "no cgroup for each agent: "+k.NoCgroup)
	}
	switch {
	case !h.Switch:
		out = append(out, fmt.Sprintf("the keeper may not switch users: all agents and plugins run as uid %d, and only Landlock separates them", h.UID))
	case otherRange(cfg, h) != "":
		out = append(out, otherRange(cfg, h))
	case cfg.UIDRange == nil:
		out = append(out, fmt.Sprintf("no uidRange in the configuration: plugins, and agents without a user of their own, run as uid %d, and only Landlock separates them", h.UID))
	}
	return out
}

// Status is the daemon at a glance.
func (d *Daemon) Status() *control.Status {
	w := d.world.Load()
	d.mu.Lock()
	loaded := control.Config{File: d.path, LoadedAt: d.loadedAt, Error: d.configErr}
	d.mu.Unlock()
	agents, problems := d.agents.list()
	keeper, host := d.keeperStatus()
	s := &control.Status{
		Drained: d.drained.Load(), Version: d.version, PID: os.Getpid(), StartedAt: d.startedAt, Config: loaded,
		ControlPlane: controlPlane(w), Keeper: *keeper, Plugins: []control.Plugin{}, Agents: []control.Agent{},
		Problems: problems, Notes: notes(keeper, host, w.cfg),
	}
	programs, err := w.plugins.Status()
	if err != nil {
		s.Problems = append(s.Problems, err.Error())
	}
	for _, p := range programs {
		s.Plugins = append(s.Plugins, control.Plugin{Type: p.Type, PID: p.PID, User: p.User, Sandbox: p.Level, SHA256: p.SHA256, Pinned: p.Pinned, Error: p.Fault})
	}
	for _, a := range agents {
		st := a.status()
		s.Agents = append(s.Agents, st)
		s.Notes = append(s.Notes, notMasked(&st)...)
	}
	return s
}

// notMasked says which values of an agent its output may show.
func notMasked(a *control.Agent) []string {
	run := a.Run
	if run == nil {
		run = a.LastRun
	}
	if run == nil || len(run.NotMaskable) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("agent %s: values of fewer than %d bytes are not masked in its output: %s",
		a.Name, protocol.MinMasked, strings.Join(run.NotMaskable, ", "))}
}

func (d *Daemon) keeperStatus() (*control.Keeper, sandbox.Host) {
	s := &control.Keeper{Socket: d.keeper.socket, Separated: !d.keeper.own}
	k, err := d.keeper.state()
	if err != nil {
		s.Error = err.Error()
		return s, sandbox.Host{}
	}
	h := k.Host()
	s.PID, s.Enforces, s.Masker, s.NoCgroup = k.PID(), h.String(), k.Masker(), h.NoCgroup
	return s, h
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
		State: a.shownState(), Sandbox: string(a.cfg.Sandbox.Profile), LastHeartbeat: a.lastBeat, LastRun: shown(a.lastRun),
		Coalesced: a.coalesced, Crashes: a.crashes, ConfigError: a.configErr, WaitsFor: a.waitsFor,
	}
	if a.run != nil {
		rec := a.run.Record()
		if s.Run = rec.Shown(); time.Since(rec.StartedAt) >= healthy {
			s.Crashes = 0
		}
	}
	if a.timed() {
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
	case a.d.drained.Load():
		return control.StateDrained
	case !a.cfg.Heartbeat.Enabled:
		return control.StateDisabled
	case a.crashes > 0:
		return control.StateBackoff
	}
	return a.state
}
