package launcher

import (
	"fmt"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// whyNotRunning is why an agent does not run, in one sentence; empty while it
// runs. A file with a problem is named in any case: what runs is older.
func whyNotRunning(a *control.Agent, plane *control.ControlPlane) string {
	why := ""
	if a.Run == nil {
		why = whyNot(a, plane)
	}
	if a.ConfigError == "" {
		return why
	}
	if why != "" {
		why += "; "
	}
	return why + "its file has a problem and its last good configuration holds: " + oneLine(a.ConfigError)
}

func whyNot(a *control.Agent, plane *control.ControlPlane) string {
	switch a.State {
	case control.StateHeld:
		return "an operator stopped it: agent-launcher wake " + a.Name + " lets it go"
	case control.StateRetiring:
		return "its file is gone, and it ends"
	case control.StateWaiting:
		if a.WaitsFor == control.ForPlace {
			return "it waits for the end of another run: as many go on as heartbeat.maxRuns in config.json allows"
		}
		return "it waits for the end of a run of the same agent id, begun as " + a.WaitsFor
	case control.StateDrained:
		return errDrained.Error()
	case control.StateBackoff:
		return fmt.Sprintf("it is a service that ended, or did not start, %d times, and pauses before it is started again, %s%s", a.Crashes, next(a), last(a))
	case control.StatePlanning:
		return "its heartbeat has just begun: its adapter is asked what to run"
	case control.StateResolving:
		return "its heartbeat waits for the control plane" + failing(plane)
	case control.StateDisabled:
		return "its heartbeat is off in its file, so only agent-launcher wake " + a.Name + " starts it" + last(a)
	case control.StateIdle:
		return "it waits for its next heartbeat, " + next(a) + last(a)
	}
	return "it is " + a.State
}

// failing says since when and why the control plane cannot be asked.
func failing(plane *control.ControlPlane) string {
	if plane.Reachable || plane.Attempts == 0 {
		return ""
	}
	s := fmt.Sprintf(", which has failed since %s, %d times: %s", clock(plane.Since), plane.Attempts, plane.LastError)
	if plane.NextAttempt != nil {
		s += "; the next attempt is at " + clock(*plane.NextAttempt)
	}
	return s
}

func next(a *control.Agent) string {
	if a.NextHeartbeat == nil {
		return "which is not planned"
	}
	return "at " + clock(*a.NextHeartbeat)
}

// last is how the last heartbeat went.
func last(a *control.Agent) string {
	if hb := a.LastHeartbeat; hb != nil && hb.Error != "" {
		return fmt.Sprintf("; its last one (%s, at %s) failed: %s", hb.Trigger, clock(hb.At), hb.Error)
	}
	r := a.LastRun
	switch {
	case r == nil:
		return "; it has not run yet"
	case r.State == runs.Failed:
		return "; its last run did not start: " + r.Reason
	}
	s := "; its last run ended"
	if r.EndedAt != nil {
		s += " at " + clock(*r.EndedAt)
	}
	switch {
	case r.Reason != "":
		s += ": " + r.Reason
	case r.Signal != "":
		s += " by " + r.Signal
	case r.ExitCode != nil:
		s += fmt.Sprintf(" with exit code %d", *r.ExitCode)
	}
	return s
}

// oneLine joins the problems of a file, which stand on a line each.
func oneLine(problems string) string { return strings.ReplaceAll(problems, "\n", "; ") }

func clock(t time.Time) string { return t.Format(time.RFC3339) }
