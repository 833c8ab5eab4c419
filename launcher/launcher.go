// Package launcher is the daemon: it reads the configuration, runs heartbeats,
// supervises the agents they start and tells operators what is going on. It
// is the only package that knows fetch, plugins and sandbox. It carries
// ciphertext; it never sees a value, the host key or an agent's output.
//
// A heartbeat is (*pass).do, one function. Whatever can cause one only pokes
// the agent's loop, see agent.
package launcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
	"github.com/agent-launcher/agent-launcher/launcher/sessions"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// Daemon is one running agent-launcher.
type Daemon struct {
	log       *zap.Logger
	version   string
	startedAt time.Time
	path      string // of the config file
	store     *runs.Store
	sessions  *sessions.Store
	agents    *set
	watcher   *watcher // of adapter files
	programs  *watcher // of plugins
	world     atomic.Pointer[world]
	drained   atomic.Bool // no heartbeat starts
	places    *places     // of runs
	keeper    *keeperLink

	background sync.WaitGroup // adopted runs, and old worlds that close

	mu        sync.Mutex // one reload at a time; guards what follows
	loadedAt  time.Time
	configErr string
}

// Signals are those that a daemon answers, beside the end of its context.
type Signals struct {
	Reload <-chan os.Signal // read the configuration again
	Leave  <-chan os.Signal // exit, and leave the agents with the keeper to the next daemon
}

// Run is the whole life of the daemon. It returns when ctx has ended and every
// agent has, or after Leave: the error is of the start, or nil.
func Run(ctx context.Context, configPath, version string, log *zap.Logger, signals Signals) error {
	if err := hardenProcess(); err != nil {
		return err
	}
	cfg, err := config.Load(configPath)
	if err != nil {
		return err
	}
	if err := errors.Join(hostFiles(cfg)...); err != nil {
		return err
	}
	lock, err := prepareState(cfg.StateDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	d, err := newDaemon(cfg, version, log)
	if err != nil {
		return err
	}
	defer d.closeWorld()
	listener, err := control.Listen(cfg.Socket)
	if err != nil {
		return err
	}
	defer listener.Close()
	return d.run(ctx, listener, signals)
}

func newDaemon(cfg *config.Config, version string, log *zap.Logger) (*Daemon, error) {
	store, err := runs.Open(filepath.Join(cfg.StateDir, "runs"))
	if err != nil {
		return nil, err
	}
	kept, err := sessions.Open(filepath.Join(cfg.StateDir, "sessions"))
	if err != nil {
		return nil, err
	}
	d := &Daemon{log: log, version: version, startedAt: time.Now(), loadedAt: time.Now(), path: cfg.Path, store: store, sessions: kept}
	d.agents = newSet(d)
	d.places = &places{limit: func() int { return d.world.Load().cfg.Heartbeat.MaxRuns }}
	if d.keeper, err = newKeeperLink(cfg, log); err != nil {
		return nil, err
	}
	w, err := newWorld(cfg, d.keeper, log)
	if err != nil {
		return nil, err
	}
	d.world.Store(w)
	return d, nil
}

// run is the main loop: everything that is not an agent's own.
func (d *Daemon) run(ctx context.Context, listener net.Listener, signals Signals) error {
	agentsCtx, stopAgents := context.WithCancelCause(context.WithoutCancel(ctx))
	d.agents.ctx = agentsCtx
	if err := d.watch(); err != nil {
		stopAgents(err)
		return err
	}
	defer d.watcher.close()
	defer d.followPlugins()()
	d.keeper.found = func(k *sandbox.Keeper) { d.adoptRuns(agentsCtx, k) }
	if _, err := d.keeper.get(); err != nil {
		d.log.Error("no agent can start", zap.Error(err)) // every heartbeat tries again, and says so
	}
	d.scan(TriggerTimer)
	d.agents.orphans()
	// Not before: a reload or a wake must find the runs of an earlier daemon
	// adopted, or it would start the agents a second time.
	server := control.NewServer(d, uint32(os.Getegid()))
	served := d.serve(server, listener)
	defer func() { _ = server.Close(); <-served }()
	d.background.Go(func() { d.retain(agentsCtx) })
	d.background.Go(func() { d.push(agentsCtx) })
	d.log.Info("started", zap.String("version", d.version), zap.Int("agents", d.agents.size()),
		zap.String("controlPlane", d.world.Load().cfg.ControlPlane.URL))
	notify("READY=1", d.statusLine())
	defer notify("STOPPING=1")
	for {
		select {
		case <-ctx.Done():
			d.log.Info("stopping: ending all agents")
			d.finish(stopAgents, errStopping)
			return nil
		case <-signals.Leave:
			d.log.Info("leaving: agents run on with the keeper")
			d.finish(stopAgents, errLeaving)
			return nil
		case <-d.watcher.changed:
			d.scan(TriggerConfig)
		case <-signals.Reload:
			_ = d.Reload() // logged and in the status
		}
	}
}

// finish ends every loop, and with it the agents, or leaves them.
func (d *Daemon) finish(stopAgents context.CancelCauseFunc, why error) {
	notify("STOPPING=1")
	stopAgents(why)
	d.agents.wait()
	d.background.Wait()
	d.keeper.close(why == errStopping)
}

var (
	errStopping = errors.New("the launcher is stopping")
	errLeaving  = errors.New("the launcher is leaving its agents to the next")
)

// hardenProcess keeps the host token and the plan of every agent out of cores and out
// of the reach of neighbours of the same uid.
func hardenProcess() error {
	if err := harden.LimitCores(); err != nil {
		return fmt.Errorf("cannot forbid core dumps: %w", err)
	}
	if err := harden.NotDumpable(); err != nil {
		return fmt.Errorf("cannot become non-dumpable: %w", err)
	}
	return nil
}

// prepareState makes the state directory and locks it: two daemons on one
// directory would start every agent twice. The kernel drops the lock with the
// process, however it ends.
func prepareState(dir string) (*os.File, error) {
	if err := makeState(dir); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the state directory: %w", err)
	}
	for range 20 {
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return lock, nil
		}
		// A child that a killed daemon was just forking holds the lock until execve.
		time.Sleep(50 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("cannot use %s: another daemon does", dir), lock.Close())
}

// makeState makes the state directory with mode 0711: agents that run as another
// user pass through to their own HOME. One that is there is its owner's.
func makeState(dir string) error {
	_, err := os.Stat(dir)
	if err == nil {
		return nil
	}
	if err = os.MkdirAll(dir, 0o711); err == nil {
		err = os.Chmod(dir, 0o711) // whatever the umask is
	}
	if err != nil {
		return fmt.Errorf("cannot make the state directory: %w", err)
	}
	return nil
}

func (d *Daemon) serve(server *http.Server, l net.Listener) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("control socket failed", zap.Error(err))
		}
	}()
	return done
}

func (d *Daemon) closeWorld() {
	d.world.Load().close()
}
