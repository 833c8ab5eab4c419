package launcher

import (
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

func TestWhyNotRunning(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	one := 1
	up, down := control.ControlPlane{Reachable: true}, control.ControlPlane{Since: at, Attempts: 3, LastError: "connection refused", NextAttempt: &at}
	failed := &control.Heartbeat{At: at, Trigger: "timer", Error: "TOKEN: not_found"}
	for _, c := range []struct {
		agent control.Agent
		plane control.ControlPlane
		want  string
	}{
		{control.Agent{State: control.StateRunning, Run: &runs.Record{}}, up, ""},
		{control.Agent{State: control.StateRunning, Run: &runs.Record{}, ConfigError: "a.json:1:1: $: bad"}, up,
			"its file has a problem and its last good configuration holds: a.json:1:1: $: bad"},
		{control.Agent{Name: "a", State: control.StateHeld, LastHeartbeat: failed, ConfigError: "bad"}, down,
			"an operator stopped it: agent-launcher wake a lets it go; its file has a problem and its last good configuration holds: bad"},
		{control.Agent{State: control.StateRetiring}, up, "its file is gone, and it ends"},
		{control.Agent{State: control.StatePlanning}, up, "its heartbeat has just begun: its adapter is asked what to run"},
		{control.Agent{State: control.StateResolving}, up, "its heartbeat waits for the control plane"},
		{control.Agent{State: control.StateResolving}, down, "its heartbeat waits for the control plane, which has failed since 2026-01-02T03:04:05Z, 3 times: connection refused; the next attempt is at 2026-01-02T03:04:05Z"},
		{control.Agent{Name: "a", State: control.StateDisabled}, up, "its heartbeat is off in its file, so only agent-launcher wake a starts it; it has not run yet"},
		{control.Agent{State: control.StateIdle, NextHeartbeat: &at, LastHeartbeat: failed, LastRun: &runs.Record{ExitCode: &one}}, up,
			"it waits for its next heartbeat, at 2026-01-02T03:04:05Z; its last one (timer, at 2026-01-02T03:04:05Z) failed: TOKEN: not_found"},
		{control.Agent{State: control.StateIdle, NextHeartbeat: &at, LastRun: &runs.Record{ExitCode: &one, EndedAt: &at}}, up,
			"it waits for its next heartbeat, at 2026-01-02T03:04:05Z; its last run ended at 2026-01-02T03:04:05Z with exit code 1"},
		{control.Agent{State: control.StateIdle, LastRun: &runs.Record{Signal: "SIGTERM", SignalNo: 15, Reason: "timed out"}}, up,
			"it waits for its next heartbeat, which is not planned; its last run ended: timed out"},
		{control.Agent{State: control.StateIdle, LastRun: &runs.Record{State: runs.Failed, Reason: "no such program"}}, up,
			"it waits for its next heartbeat, which is not planned; its last run did not start: no such program"},
		{control.Agent{State: control.StateWaiting, WaitsFor: "b"}, up, "it waits for the end of a run of the same agent id, begun as b"},
		{control.Agent{State: control.StateWaiting, WaitsFor: control.ForPlace}, up,
			"it waits for the end of another run: as many go on as heartbeat.maxRuns in config.json allows"},
		{control.Agent{State: control.StateDrained}, up, "the host is drained: agent-launcher drain --end lets heartbeats start again"},
		{control.Agent{State: control.StateBackoff, Crashes: 3, NextHeartbeat: &at, LastRun: &runs.Record{ExitCode: &one}}, up,
			"it is a service that ended, or did not start, 3 times, and pauses before it is started again, at 2026-01-02T03:04:05Z; its last run ended with exit code 1"},
		{control.Agent{State: "another"}, up, "it is another"},
	} {
		if got := whyNotRunning(&c.agent, &c.plane); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.agent.State, got, c.want)
		}
	}
}
