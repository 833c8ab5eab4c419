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

// process is an agent that runs: our child, or one that an earlier daemon left.
type process interface {
	Signal(syscall.Signal)
	Wait(context.Context) (sandbox.Exit, error)
}

// supervise waits for the agent's end. At its deadline, or when ctx ends, it
// asks the agent's process group to end, and after grace kills it. The reason
// is empty if the agent ended by itself.
func supervise(ctx context.Context, p process, deadline *time.Time, grace time.Duration, stopping func()) (sandbox.Exit, string) {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if deadline != nil {
		wait, cancel = context.WithDeadlineCause(ctx, *deadline, errTimeout)
	}
	defer cancel()
	exit, err := p.Wait(wait)
	if err == nil {
		return exit, ""
	}
	stopping()
	reason := err.Error()
	if cause := context.Cause(wait); cause != nil {
		reason = cause.Error()
	}
	p.Signal(syscall.SIGTERM)
	p.Signal(syscall.SIGCONT) // a stopped process would not see the SIGTERM
	patience, cancelPatience := context.WithTimeout(context.Background(), grace)
	defer cancelPatience()
	if exit, err = p.Wait(patience); err == nil {
		return exit, reason
	}
	p.Signal(syscall.SIGKILL)
	exit, err = p.Wait(context.Background())
	if err != nil {
		return exit, fmt.Sprintf("%s; %v", reason, err)
	}
	return exit, fmt.Sprintf("%s; killed after %s of grace", reason, grace)
}

var errTimeout = errors.New("timed out: timeoutSec is over")

// finish completes the record. The record cannot be kept in memory only to be
// lost: an error of the disk becomes part of what the caller sees.
func finish(run *runs.Run, exit sandbox.Exit, state runs.State, reason string) *runs.Record {
	now := time.Now()
	err := run.Update(func(r *runs.Record) {
		r.State, r.EndedAt, r.Reason = state, &now, reason
		if exit.Known && exit.Signal == 0 {
			r.ExitCode = &exit.Code
		}
		if exit.Signal != 0 {
			r.Signal, r.SignalNo = signalName(exit.Signal), int(exit.Signal)
		}
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

func finishWithLog(run *runs.Run, exit sandbox.Exit, reason string, out output) *runs.Record {
	kept, lost, err := out.Stop()
	if err != nil && reason == "" {
		reason = err.Error()
	}
	// Not yet on disk: finish writes it all in one line.
	run.SetLog(kept, lost)
	return finish(run, exit, runs.Ended, reason)
}
