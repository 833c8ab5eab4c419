package launcher

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/plugins"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// pluginStarter has the keeper start plugins, each in a sandbox of its own.
type pluginStarter struct {
	keeper *keeperLink
	cfg    *config.Config
	dir    string // holds the plugins' directories, STATE/plugins
	apart  bool   // each has its own uid, where there is a range
}

// newPluginStarter makes dir.
func newPluginStarter(cfg *config.Config, keeper *keeperLink, dir string, apart bool) (*pluginStarter, error) {
	if err := passable(dir); err != nil {
		return nil, fmt.Errorf("cannot make the plugins' directory: %w", err)
	}
	return &pluginStarter{keeper: keeper, cfg: cfg, dir: dir, apart: apart}, nil
}

func pluginsDir(cfg *config.Config) string { return filepath.Join(cfg.StateDir, "plugins") }

// socketsDir is where plugins make the directories of their sockets: dir, or where
// its path is too long for that a temporary one, which remove removes.
func socketsDir(dir string) (sockets string, remove func(), err error) {
	if len(dir) <= plugins.MaxRuntimeDir {
		return dir, func() {}, nil
	}
	if sockets, err = os.MkdirTemp("", "agent-launcher-"); err == nil {
		err = passable(sockets)
	}
	if err != nil {
		return "", nil, fmt.Errorf("cannot make a place for the sockets of plugins: %w", err)
	}
	return sockets, func() { _ = os.RemoveAll(sockets) }, nil
}

// start is plugins.Options.Start.
func (s *pluginStarter) start(p plugins.Program) (*plugins.Process, error) {
	keeper, err := s.keeper.get()
	if err != nil {
		return nil, err
	}
	var user *sandbox.User
	if s.apart {
		if user, err = pluginUser(s.cfg, p.Name, keeper.Host()); err != nil {
			return nil, err
		}
	}
	base := filepath.Join(s.dir, p.Name)
	if err := passable(base); err != nil {
		return nil, fmt.Errorf("cannot make the plugin's directories: %w", err)
	}
	run, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("cannot make a run id: %w", err)
	}
	proc, err := keeper.StartPlugin(&sandbox.Plugin{
		Name: p.Name, Run: run.String(), Path: p.Path, Program: p.File, Env: p.Env,
		User: user, Base: base, Socket: p.SocketDir, Private: private(s.cfg), Stdout: p.Stdout, Stderr: p.Stderr,
	})
	if err != nil {
		return nil, err
	}
	return attendPlugin(proc, whoRuns(user, keeper.Host())), nil
}

// attendPlugin stays with a plugin to its end. One that a keeper which hangs
// does not end is given up: nobody knows what became of it.
func attendPlugin(proc *sandbox.Process, user string) *plugins.Process {
	ctx, giveUp := context.WithCancel(context.Background())
	done, how := make(chan struct{}), "unknown: the keeper did not end it"
	go func() {
		defer close(done)
		defer giveUp()
		exit, err := proc.Wait(ctx)
		if err != nil {
			return
		}
		proc.Forget()
		switch {
		case !exit.Known:
			how = exit.Why
		case exit.Why != "":
			how = "" // by us, or with the keeper
		default:
			how = exit.String()
		}
	}()
	return &plugins.Process{
		PID: proc.PID, User: user, Level: proc.Level, Done: done,
		Kill: func() {
			if proc.Kill() != nil {
				giveUp()
			}
		},
		Exit: func() string { return how },
	}
}

func whoRuns(user *sandbox.User, host sandbox.Host) string {
	if user == nil {
		return fmt.Sprintf("uid %d, the keeper's", host.UID)
	}
	return fmt.Sprintf("uid %d, its own", user.UID)
}
