package launcher

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/launcher/runs"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// supervise waits for the agent's end. When ctx ends it has the keeper stop the
// agent; the deadline is the keeper's own matter. It returns errLeaving at once
// if this daemon leaves its agents to the next.
func supervise(ctx context.Context, p *sandbox.Process, grace time.Duration, stopping func()) (sandbox.Exit, string, error) {
	exit, err := p.Wait(ctx)
	cause := error(nil)
	if err != nil {
		if cause = context.Cause(ctx); errors.Is(cause, errLeaving) {
			return exit, "", errLeaving
		}
		stopping()
		exit = stop(p, grace)
	}
	return exit, reason(&exit, cause, grace), nil
}

// keeperPatience is what the keeper may take beyond the grace: for a tree that
// hangs in the kernel and a log that nobody reads.
const keeperPatience = 45 * time.Second

// stop has the keeper stop the agent. A keeper that hangs must not hold up the
// daemon's own end: then nobody knows what became of the agent.
func stop(p *sandbox.Process, grace time.Duration) sandbox.Exit {
	patience := grace + keeperPatience
	if err := p.Stop(); err != nil {
		patience = time.Second // it has ended, or the keeper is gone or hangs
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	exit, err := p.Wait(ctx)
	if err != nil {
		return sandbox.Exit{Why: "the keeper did not end it", Began: true}
	}
	return exit
}

// reason is why a run was ended; empty if it ended by itself.
func reason(exit *sandbox.Exit, cause error, grace time.Duration) string {
	why := exit.Why
	if cause != nil && why != "" && exit.Known {
		why = cause.Error()
	}
	if exit.Killed && why != "" {
		why = fmt.Sprintf("%s; killed after %s of grace", why, grace)
	}
	if exit.LogError != nil {
		if why != "" {
			why += "; "
		}
		why += exit.LogError.Error()
	}
	return why
}

// nothing is what is concluded from a run that nobody observed.
func nothing(*runs.Record) {}

// finish completes the record. The record cannot be kept in memory only to be
// lost: an error of the disk becomes part of what the caller sees.
func finish(run *runs.Run, exit sandbox.Exit, state runs.State, reason string, conclude func(*runs.Record)) *runs.Record {
	now := time.Now()
	err := run.Update(func(r *runs.Record) {
		r.State, r.EndedAt, r.Reason, r.Progress = state, &now, reason, ""
		r.LogBytes, r.LogLost = exit.LogBytes, exit.LogLost
		if exit.Known && exit.Signal == 0 {
			r.ExitCode = &exit.Code
		}
		if exit.Signal != 0 {
			r.Signal, r.SignalNo = signalName(exit.Signal), int(exit.Signal)
		}
		conclude(r)
	})
	rec := run.Record()
	if err != nil {
		rec.Reason = errors.Join(errors.New(rec.Reason), err).Error()
	}
	return &rec
}

// signalName has a name for real-time signals too.
func signalName(s syscall.Signal) string {
	if name := unix.SignalName(s); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(s))
}
