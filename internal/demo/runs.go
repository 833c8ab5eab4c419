package main

import (
	"context"
	"fmt"
	"time"

	"github.com/agent-launcher/agent-launcher/internal/demo/agentline"
)

func (d *demo) secret(name string) *secret {
	for _, s := range d.secrets {
		if s.name == name {
			return s
		}
	}
	panic("bug: no secret " + name)
}

// waitRun reads the agent's log, as an operator does, until wanted accepts a run.
func (d *demo) waitRun(ctx context.Context, what string, wanted func(agentline.Line) (bool, error)) (line agentline.Line, err error) {
	err = d.daemon.until(ctx, what, func(ctx context.Context) (bool, error) {
		output, err := d.operate(ctx, "logs", agentName)
		if err != nil {
			return false, fmt.Errorf("%w: %v", errNotYet, err) // not serving, or no run
		}
		for _, line = range agentline.Parse(output) {
			if done, err := wanted(line); done || err != nil {
				return done, err
			}
		}
		return false, nil
	})
	return line, err
}

// versions says which version of each secret a run got.
func (d *demo) versions(line agentline.Line) (latest, pinned int, err error) {
	if latest, err = d.secret(latestName).version(line); err != nil {
		return 0, 0, err
	}
	pinned, err = d.secret(pinnedName).version(line)
	return latest, pinned, err
}

func (d *demo) firstRun(ctx context.Context) error {
	line, err := d.waitRun(ctx, "a first run of the agent", func(line agentline.Line) (bool, error) {
		latest, pinned, err := d.versions(line)
		if err == nil && (latest != 1 || pinned != 1) {
			err = fmt.Errorf("the first run got versions %d and %d, want 1 and 1", latest, pinned)
		}
		return err == nil, err
	})
	if err != nil {
		return err
	}
	d.out.ok("daemon", "agent-launcher run, pid %d, one heartbeat a second", d.daemon.cmd.Process.Pid)
	d.out.ok("first run", "the agent, pid %d, got both values, as their SHA-256 shows", line.PID)
	d.showLine(line, 1, 1)
	return nil
}

// secondRun waits for the first run after the rotation. A run that was on its
// way when the PATCH came may still have version 1, a later one may not.
func (d *demo) secondRun(ctx context.Context) error {
	patched := d.secret(latestName).sent
	line, err := d.waitRun(ctx, "version 2 of "+latestName, func(line agentline.Line) (bool, error) {
		latest, pinned, err := d.versions(line)
		switch {
		case err != nil:
			return false, err
		case pinned != 1:
			return false, fmt.Errorf("%s is pinned to version 1 and the agent got version %d", pinnedName, pinned)
		case latest == 1 && line.Started.Sub(patched) > time.Second:
			return false, fmt.Errorf("a run still got version 1 of %s, %v after version 2 was made", latestName, line.Started.Sub(patched))
		}
		return latest == 2, nil
	})
	if err != nil {
		return err
	}
	d.out.ok("rotated", "both secrets are at version 2; %.2f s after the PATCH came a run with", line.Started.Sub(patched).Seconds())
	d.showLine(line, 2, 1)
	return nil
}

func (d *demo) showLine(line agentline.Line, latest, pinned int) {
	d.out.note("%-12s version %d  sha256 %.16s...", latestName, latest, line.SHA256[latestName])
	d.out.note("%-12s version %d  sha256 %.16s...  (pinned)", pinnedName, pinned, line.SHA256[pinnedName])
}
