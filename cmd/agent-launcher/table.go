package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// printStatus is status for people: the daemon in three lines, a table of the
// agents and one of the plugins, then everything that is wrong.
func printStatus(w io.Writer, s *control.Status) error {
	fmt.Fprintf(w, "agent-launcher %s, pid %d, up %s\n", s.Version, s.PID, age(s.StartedAt))
	fmt.Fprintf(w, "config         %s, loaded %s ago\n", s.Config.File, age(s.Config.LoadedAt))
	fmt.Fprintf(w, "control plane  %s\n", planeLine(&s.ControlPlane))
	fmt.Fprintf(w, "keeper         %s\n\n", keeperLine(&s.Keeper))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "AGENT\tSTATE\tSANDBOX\tLAST\tNEXT\tRUN\tPID\tVERSIONS")
	for _, a := range s.Agents {
		run, pid := shownRun(&a)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", a.Name, a.State, a.Sandbox, lastLine(&a), nextLine(&a), run, pid, versions(&a))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printPlugins(w, s.Plugins); err != nil {
		return err
	}
	if s.Drained {
		fmt.Fprintln(w, "\nDRAINED: no heartbeat starts until agent-launcher drain --end")
	}
	for _, line := range wrong(s) {
		fmt.Fprintln(w, "\n"+line)
	}
	fmt.Fprintln(w)
	for _, n := range s.Notes {
		fmt.Fprintln(w, "note: "+n)
	}
	return nil
}

// watchStatus prints the status again and again: over the last one on a terminal,
// below it elsewhere. A daemon that is away is waited for.
func watchStatus(ctx context.Context, w io.Writer, c *control.Client) error {
	const home = "\x1b[H\x1b[2J"
	clear := ""
	if f, ok := w.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err == nil {
			clear = home
		}
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		var out bytes.Buffer
		out.WriteString(clear)
		if s, err := c.Status(ctx); err != nil && ctx.Err() == nil {
			fmt.Fprintln(&out, err)
		} else if err == nil {
			_ = printStatus(&out, s) // a buffer takes all
		}
		if _, err := w.Write(append(out.Bytes(), '\n')); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// printPlugins is a table of those that run.
func printPlugins(w io.Writer, plugins []control.Plugin) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "\nPLUGIN\tPID\tRUNS AS\tSANDBOX\n"
	for _, p := range plugins {
		if p.PID != 0 {
			fmt.Fprintf(t, "%s%s\t%d\t%s\t%s\n", head, p.Type, p.PID, p.User, p.Sandbox)
			head = ""
		}
	}
	return t.Flush()
}

func planeLine(cp *control.ControlPlane) string {
	switch {
	case cp.Reachable:
		return fmt.Sprintf("%s, reachable for %s", cp.URL, age(cp.Since))
	case cp.Attempts == 0:
		return cp.URL + ", not asked yet"
	}
	line := fmt.Sprintf("%s, FAILING for %s, %d attempts: %s", cp.URL, age(cp.Since), cp.Attempts, cp.LastError)
	if cp.NextAttempt != nil {
		line += ", next in " + short(time.Until(*cp.NextAttempt))
	}
	return line
}

func keeperLine(k *control.Keeper) string {
	if k.PID == 0 {
		return fmt.Sprintf("%s, NOT CONNECTED, no agent can start: %s", k.Socket, k.Error)
	}
	return fmt.Sprintf("pid %d, %s; masker: %s", k.PID, k.Enforces, k.Masker)
}

func wrong(s *control.Status) []string {
	var out []string
	if s.Config.Error != "" {
		out = append(out, "config: the last reload was refused, the old configuration holds: "+s.Config.Error)
	}
	out = append(out, s.Problems...)
	for _, p := range s.Plugins {
		switch {
		case p.Error != "" && p.PID != 0:
			out = append(out, "plugin "+p.Type+": the new version of its file does not serve, the old one goes on: "+p.Error)
		case p.Error != "":
			out = append(out, "plugin "+p.Type+" does not run: "+p.Error)
		}
	}
	for _, a := range s.Agents {
		if a.ConfigError != "" {
			out = append(out, a.Name+": its file has a problem, the last good one holds: "+a.ConfigError)
		}
		if a.Crashes > 1 {
			out = append(out, fmt.Sprintf("%s: it ended, or did not start, %d times since it was healthy, last: %s", a.Name, a.Crashes, lastLine(&a)))
		}
		if r := a.Run; r != nil && r.StaleSince != nil {
			out = append(out, fmt.Sprintf("%s: runs on a bundle that the control plane confirmed last %s ago (staleGraceSec)", a.Name, age(*r.StaleSince)))
		}
		switch a.WaitsFor {
		case "":
		case control.ForPlace:
			out = append(out, a.Name+": waits for the end of another run: heartbeat.maxRuns is reached")
		default:
			out = append(out, a.Name+": waits for the end of a run of the same agent id, begun as "+a.WaitsFor)
		}
		if a.LastHeartbeat != nil && a.LastHeartbeat.Error != "" {
			out = append(out, fmt.Sprintf("%s: last heartbeat (%s, %s ago) failed: %s", a.Name, a.LastHeartbeat.Trigger, age(a.LastHeartbeat.At), a.LastHeartbeat.Error))
		}
	}
	return out
}

func lastLine(a *control.Agent) string {
	switch {
	case a.LastRun != nil:
		return ended(a.LastRun)
	case a.LastHeartbeat != nil:
		return "failed"
	}
	return "-"
}

func ended(r *runs.Record) string {
	s := "exit status unknown"
	switch {
	case r.State == runs.Failed:
		s = "not started"
	case r.Signal != "":
		s = r.Signal
	case r.ExitCode != nil:
		s = fmt.Sprintf("exit %d", *r.ExitCode)
	}
	if r.Reason != "" {
		s += ", " + r.Reason
	}
	if r.EndedAt != nil {
		s += fmt.Sprintf(" (%s ago)", age(*r.EndedAt))
	}
	return s
}

func nextLine(a *control.Agent) string {
	if a.NextHeartbeat == nil {
		return "-"
	}
	return "in " + short(max(0, time.Until(*a.NextHeartbeat)))
}

func shownRun(a *control.Agent) (run, pid string) {
	if a.Run == nil {
		return "-", "-"
	}
	return a.Run.RunID, fmt.Sprint(a.Run.PID)
}

func versions(a *control.Agent) string {
	r := a.Run
	if r == nil {
		r = a.LastRun
	}
	if r == nil || len(r.Refs) == 0 {
		return "-"
	}
	parts := make([]string, len(r.Refs))
	for i, ref := range r.Refs {
		parts[i] = fmt.Sprintf("%s=%d", ref.Name, ref.Version)
	}
	return strings.Join(parts, " ")
}

func age(t time.Time) string { return short(time.Since(t)) }

// short is a duration with one unit.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
