package launcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// execPatience is how long exec waits for the control plane: somebody sits
// before the terminal.
const execPatience = 15 * time.Second

// CannotStart is the exit code of exec when no agent ran.
const CannotStart = 125

// Exec runs one heartbeat of an agent in the foreground, without a daemon. The
// exit code is the agent's own, 128+n if signal n ended it, and 125, 126 or
// 127 with an error if it did not start. The run is on record like any other.
func Exec(ctx context.Context, configPath, name string, log *zap.Logger) (int, error) {
	if err := hardenProcess(); err != nil {
		return CannotStart, err
	}
	cfg, err := config.Load(configPath)
	if err != nil {
		return CannotStart, err
	}
	a, err := config.LoadAgent(filepath.Join(cfg.AdaptersDir, name+".json"))
	if err != nil {
		return CannotStart, err
	}
	store, err := runs.Open(filepath.Join(cfg.StateDir, "runs"))
	if err != nil {
		return CannotStart, err
	}
	w, err := newWorld(cfg, log)
	if err != nil {
		return CannotStart, err
	}
	defer w.close()
	p := &pass{
		world: w, store: store, agent: a, trigger: TriggerRequest, patience: execPatience,
		state:  func(string) {},
		begun:  func(*runs.Run) {},
		output: func(pipe *os.File, _ *runs.Run) output { return copyOutput(pipe, os.Stdout) },
	}
	rec, err := p.do(ctx)
	return exitCode(rec, err)
}

func exitCode(rec *runs.Record, err error) (int, error) {
	var start *sandbox.StartError
	switch {
	case errors.As(err, &start):
		return start.ExitCode(), err
	case err != nil:
		return CannotStart, err
	}
	if rec.Reason != "" {
		err = fmt.Errorf("agent %s: %s", rec.Agent, rec.Reason)
	}
	return ExitCode(rec), err
}

// ExitCode is what a command exits with that waited for a run: the agent's own
// code, 128+n if signal n ended it. A run that was ended, or whose status is
// unknown, is never 0.
func ExitCode(rec *runs.Record) int {
	switch {
	case rec.SignalNo != 0:
		return 128 + rec.SignalNo
	case rec.ExitCode == nil, *rec.ExitCode == 0 && rec.Reason != "":
		return 1
	}
	return *rec.ExitCode
}

// copied is an agent's output on its way to a terminal or a pipe.
type copied struct {
	pipe *os.File
	done chan struct{}
	n    int64
	err  error
}

func copyOutput(pipe *os.File, to io.Writer) *copied {
	c := &copied{pipe: pipe, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.n, c.err = io.Copy(to, pipe)
	}()
	return c
}

// Stop gives what is left in the pipe a moment to come out: a process that
// escaped the agent's group may hold it open for ever.
func (c *copied) Stop() (int64, int64, error) {
	_ = c.pipe.SetReadDeadline(time.Now().Add(time.Second))
	<-c.done
	if errors.Is(c.err, os.ErrDeadlineExceeded) {
		c.err = nil
	}
	return c.n, 0, errors.Join(c.err, c.pipe.Close())
}
