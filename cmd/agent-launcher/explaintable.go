package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// printExplanation is explain for people: about ten lines, unless all of the
// rules are wanted, and then what was asked about.
func printExplanation(w io.Writer, x *control.Explanation, all bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what, text string) { fmt.Fprintf(t, "%s\t%s\n", what, printable(text)) }
	line("agent", x.Agent+", "+x.File)
	if x.NotRunning != "" {
		line("not running", x.NotRunning)
	}
	if x.Policy != nil {
		line("runs as", x.RunsAs)
		printPolicy(line, x.Policy, all)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, v := range x.Verdicts {
		printVerdict(w, &v, filepath.Base(x.File))
	}
	return nil
}

func printPolicy(line func(what, text string), x *sandbox.Explained, all bool) {
	line("sandbox", x.Level)
	for _, p := range x.Problems {
		line("CANNOT START", p)
	}
	if x.Profile == sandbox.ProfileOff {
		line("may", "do whatever its user may: there is no Landlock and no seccomp")
	} else {
		for _, rights := range []string{"read+write+execute", "read+write", "read+execute", "read"} {
			printRules(line, x, rights, all)
		}
	}
	line("network", networkLine(x))
	line("namespaces", yesNo(x.UserNamespaces, "may make user namespaces", "none of its own"))
	if limits := limitsLine(&x.Limits); limits != "" {
		line("limits", limits)
	}
	if all {
		for _, d := range x.Denied {
			line("denied", d)
		}
	} else if len(x.Denied) > 0 {
		line("denied", fmt.Sprintf("%d groups of system calls; --all lists them and every rule", len(x.Denied)))
	}
}

func printRules(line func(what, text string), x *sandbox.Explained, rights string, all bool) {
	var shown, system []string
	for _, r := range x.Rules {
		switch {
		case r.Rights != rights:
		case all:
			line(rights, r.Path+leads(&r)+": "+r.Why)
		case r.System:
			system = append(system, r.Path)
		default:
			shown = append(shown, fmt.Sprintf("%s (%s)", r.Path, r.Why))
		}
	}
	switch n := len(system); {
	case n > 3:
		shown = append(shown, fmt.Sprintf("%s and %d more of the system", strings.Join(system[:2], ", "), n-2))
	case n > 0:
		shown = append(shown, strings.Join(system, ", ")+" of the system")
	}
	if len(shown) > 0 {
		line(rights, strings.Join(shown, ", "))
	}
}

func leads(r *sandbox.Rule) string {
	switch r.Real {
	case r.Path:
		return ""
	case "":
		return " (not there)"
	}
	return " (" + r.Real + ")"
}

func networkLine(x *sandbox.Explained) string {
	unix := yesNo(x.UnixSockets, "unix sockets", "no unix sockets")
	if !x.Network.Open {
		return "none; " + unix
	}
	return fmt.Sprintf("connects to TCP %s; listens on TCP %s; %s; %s", ports(x.Network.Connect), ports(x.Network.Bind),
		yesNo(x.Network.UDP, "UDP", "no UDP"), unix)
}

func ports(p sandbox.Ports) string {
	switch {
	case p.All:
		return "all"
	case len(p.Ports) == 0:
		return "none"
	}
	return strings.Trim(fmt.Sprint(p.Ports), "[]")
}

func limitsLine(l *sandbox.Limits) string {
	var parts []string
	for _, x := range []struct {
		name  string
		value uint64
	}{{"open files", l.NoFile}, {"processes of its user", l.NProc}, {"bytes of a file", l.FSize}, {"bytes of memory", l.Memory}, {"processes", l.Pids}} {
		if x.value > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", x.value, x.name))
		}
	}
	if l.CPU > 0 {
		parts = append(parts, fmt.Sprintf("%v processors", l.CPU))
	}
	return strings.Join(parts, ", ")
}

func yesNo(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

func printVerdict(w io.Writer, v *sandbox.Verdict, file string) {
	fmt.Fprintf(w, "\n%s", printable(v.Subject))
	if v.Real != "" {
		fmt.Fprintf(w, " -> %s", printable(v.Real))
	}
	fmt.Fprintf(w, " (%s)", v.Kind)
	if v.Note != "" {
		fmt.Fprintf(w, ": %s", printable(v.Note))
	}
	fmt.Fprintln(w)
	for _, u := range v.Uses {
		fmt.Fprintf(w, "  %-8s%-4s%s\n", u.Use, yesNo(u.Allowed, "yes", "NO"), printable(u.Why))
		if u.Add != "" {
			fmt.Fprintf(w, "  %-12sadd to %s: %s\n", "", file, printable(u.Add))
		}
	}
}

// printable keeps what an agent named, or printed, from steering a terminal.
func printable(s string) string {
	for _, r := range s {
		if !strconv.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
