package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/fetch"
	"github.com/agent-launcher/agent-launcher/internal/trust"
	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/plugins"
	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// Report is what check found.
type Report struct {
	Config   *config.Config  // nil if it could not be loaded
	Agents   []*config.Agent // the valid ones
	Problems config.Problems // of files, each with its place; warnings among them
	Notes    config.Problems // what adapters say that is no problem
	Host     []error         // what this host lacks
	Enforces sandbox.Host    // what it can enforce; zero if that is unknown
}

// Failed reports whether a daemon would refuse something.
func (r *Report) Failed() bool {
	return len(r.Host) > 0 || slices.ContainsFunc(r.Problems, func(p config.Problem) bool { return !p.Warning })
}

// Check validates everything a daemon with this config would use: both kinds
// of files, the plugins' own schemas, users, key, token and stage. It starts
// plugins, and nothing else.
func Check(ctx context.Context, configPath string) *Report {
	r := &Report{}
	cfg, err := config.Load(configPath)
	if err != nil {
		r.add(err)
		return r
	}
	r.Config = cfg
	agents, problems := config.LoadAgents(cfg.AdaptersDir)
	r.Agents, r.Problems = agents, problems
	r.Host = append(r.Host, hostFiles(cfg)...)
	own, end := r.ownKeeper()
	defer end()
	r.checkKeeper(cfg, own)
	r.checkUsers(cfg)
	for _, a := range agents {
		if err := r.user(cfg, a); err != nil {
			r.Problems = append(r.Problems, a.Problem("$.user", err.Error(), ""))
		}
	}
	if own != nil {
		r.checkPlugins(ctx, cfg, own)
	}
	return r
}

func (r *Report) add(err error) {
	var problems config.Problems
	if errors.As(err, &problems) {
		r.Problems = append(r.Problems, problems...)
		return
	}
	r.Host = append(r.Host, err)
}

// ownKeeper is a keeper for check alone, which starts plugins whoever has the
// host key, and whether a daemon runs; nil if there can be none.
func (r *Report) ownKeeper() (own *keeperLink, end func()) {
	own, end, err := temporaryKeeper("", zap.NewNop())
	if err != nil {
		r.Host = append(r.Host, err)
		return nil, func() {}
	}
	if _, err := own.get(); err != nil {
		r.Host = append(r.Host, err)
		return nil, end
	}
	return own, end
}

// hostFiles are the problems of the files and directories that a config names,
// beside those it holds itself. check shows them, run refuses to start.
func hostFiles(cfg *config.Config) []error {
	var errs []error
	var hostKey error
	if cfg.HostKeyFile != "" { // else the keeper's unit has it
		hostKey = secretFile("host key", cfg.HostKeyFile)
	}
	for _, err := range []error{
		hostKey,
		secretFile("host token", cfg.ControlPlane.TokenFile),
		fetch.CheckCA(cfg.ControlPlane.CAFile),
		ownState(cfg.StateDir),
		shortState(cfg),
		existing(filepath.Dir(cfg.Socket)),
	} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// ownState refuses to work in the state directory of another user: what root
// left in it the daemon could not use any more.
func ownState(dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err == nil && int(st.Uid) != os.Geteuid() {
		return &userError{dir, st.Uid}
	}
	return existing(dir)
}

// shortState leaves the sockets of plugins a path that they can have. A keeper of
// our own sees the same /tmp, which does for a longer one, see socketsDir.
func shortState(cfg *config.Config) error {
	const limit = plugins.MaxRuntimeDir - len("/plugins")
	if len(cfg.StateDir) > limit && cfg.KeeperSocket != "" {
		return fmt.Errorf("the state directory %s has %d bytes, the limit is %d with a keeperSocket: plugins make their sockets below it, see unix(7)", cfg.StateDir, len(cfg.StateDir), limit)
	}
	return nil
}

type userError struct {
	dir string
	uid uint32
}

func (e *userError) Error() string {
	return fmt.Sprintf("the state directory %s belongs to uid %d, and this is uid %d", e.dir, e.uid, os.Geteuid())
}

// Hint says what to do.
func (e *userError) Hint() string {
	return fmt.Sprintf("run this as the daemon's user: setpriv --reuid %d --init-groups ..., or sudo -u", e.uid)
}

// existing checks a directory that the daemon works in as root may: whoever can
// write it could put links in its way. One that is missing will be made.
func existing(dir string) error {
	if err := trust.Check(dir); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// secretFile looks at a file without reading it.
func secretFile(what, path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("cannot open the %s: %w", what, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("cannot look at the %s: %w", what, err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("the %s %s is no regular file", what, path)
	case info.Size() == 0:
		return fmt.Errorf("the %s %s is empty", what, path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("the %s %s has mode %04o: others can read or change it, run chmod 0600", what, path, info.Mode().Perm())
	}
	return nil
}

// checkKeeper asks a keeper what it can enforce: the configured one, if no
// daemon uses it, else the one that was started for this.
func (r *Report) checkKeeper(cfg *config.Config, own *keeperLink) {
	link := own
	if cfg.KeeperSocket != "" {
		link = &keeperLink{socket: cfg.KeeperSocket, log: zap.NewNop()}
		defer link.close(false)
	}
	if link == nil { // which was reported
		return
	}
	k, err := link.get()
	switch {
	case err == nil:
		r.Enforces = k.Host()
	case !errors.Is(err, sandbox.ErrKeeperBusy):
		r.Host = append(r.Host, err)
	}
}

// checkPlugins asks the plugins of all agents. It starts them with the keeper that
// is check's own: as check's user, since it gives nobody a uid.
func (r *Report) checkPlugins(ctx context.Context, cfg *config.Config, own *keeperLink) {
	starter, err := newPluginStarter(cfg, own, filepath.Join(filepath.Dir(own.socket), "plugins"), false)
	if err != nil {
		r.Host = append(r.Host, err)
		return
	}
	host, remove, err := newPluginHost(starter, zap.NewNop())
	if err != nil {
		r.Host = append(r.Host, err)
		return
	}
	defer func() { host.Close(); remove() }()
	for _, name := range cfg.Pinned() {
		if err := host.Verify(name); err != nil {
			r.Problems = append(r.Problems, cfg.Problem(config.PinPath(name), err.Error(), hint(err)))
		}
	}
	for _, a := range r.Agents {
		d, err := host.Describe(ctx, a.AdapterType)
		if err != nil {
			r.Problems = append(r.Problems, a.Problem("$.adapterType", err.Error(), hint(err)))
			continue
		}
		if invalid := config.ValidateAdapterConfig(a, d.Schema); len(invalid) > 0 {
			r.Problems = append(r.Problems, invalid...)
			continue
		}
		if slices.Contains(d.Can, adapter.CanTestEnvironment) {
			r.testEnvironment(ctx, host, a)
		}
		r.checkDir(ctx, &world{cfg: cfg, plugins: host}, a)
	}
}

// hint is what the error of a plugin says to do.
func hint(err error) string {
	var e *plugins.Error
	if errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

// user is why the agent cannot run as who it should.
func (r *Report) user(cfg *config.Config, a *config.Agent) error {
	if r.Enforces.Unknown() {
		if a.User == "" {
			return nil
		}
		_, err := sandbox.LookupUser(a.User)
		return err
	}
	_, _, err := wouldRunAs(cfg, a, r.Enforces)
	return err
}
