package launcher

import (
	"context"
	"errors"
	"fmt"
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
	if err := errors.Join(hostFiles(cfg)...); err != nil { // as run: what root would leave behind the daemon could not use
		return CannotStart, err
	}
	a, err := config.LoadAgent(filepath.Join(cfg.AdaptersDir, name+".json"))
	if err != nil {
		return CannotStart, err
	}
	if err := makeState(cfg.StateDir); err != nil {
		return CannotStart, err
	}
	store, err := runs.Open(filepath.Join(cfg.StateDir, "runs"))
	if err != nil {
		return CannotStart, err
	}
	keeper, done, err := execKeeper(cfg, store, a, log)
	if err != nil {
		return CannotStart, err
	}
	defer done()
	w, err := newWorld(cfg, keeper, log)
	if err != nil {
		return CannotStart, err
	}
	defer w.close()
	p := &pass{
		world: w, keeper: keeper, store: store, agent: a, trigger: TriggerRequest, patience: execPatience,
		state:  func(string) {},
		begun:  func(*runs.Run) {},
		output: os.Stdout,
	}
	rec, err := p.do(ctx)
	return exitCode(rec, err)
}

// execKeeper is a keeper for exec alone, since the daemon's serves one launcher
// at a time. Where the host key is the configured keeper's alone, exec uses that
// one, which is free as long as no daemon runs.
func execKeeper(cfg *config.Config, store *runs.Store, a *config.Agent, log *zap.Logger) (*keeperLink, func(), error) {
	usual, err := newKeeperLink(cfg, log)
	if err != nil {
		return nil, nil, err
	}
	if err := leftAlone(usual.socket, store, a); err != nil {
		return nil, nil, err
	}
	if cfg.HostKeyFile == "" {
		return usual, func() { usual.close(false) }, nil
	}
	return temporaryKeeper(cfg.HostKeyFile, log)
}

// leftAlone refuses an agent whose run a daemon has left with its keeper, whatever
// its file was called then. While a daemon runs, its keeper does not answer us,
// and the agent's lock says more.
func leftAlone(socket string, store *runs.Store, a *config.Agent) error {
	k, err := sandbox.Dial(socket)
	if err != nil {
		return nil
	}
	defer k.Close()
	left := k.Left()
	if len(left) == 0 {
		return nil
	}
	records, err := store.Unfinished()
	for _, p := range left {
		for _, rec := range records {
			if rec.RunID == p.Run && rec.AgentID == a.ID {
				return fmt.Errorf("agent %s runs already: run %s, pid %d, was left by a daemon; start the daemon and stop it there", rec.Agent, p.Run, p.PID)
			}
		}
	}
	return err // a record that cannot be read may be of this agent
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
