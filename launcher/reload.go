package launcher

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

// scan reads the adapter files again and applies them.
func (d *Daemon) scan(t Trigger) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.applyFiles(t)
}

func (d *Daemon) applyFiles(t Trigger) {
	dir := d.world.Load().cfg.AdaptersDir
	d.watcher.follow(dir) // before reading: a change between the two is seen again
	good, problems := config.LoadAgents(dir)
	for _, p := range problems {
		d.log.Warn("adapter file", zap.String("problem", p.Error()))
	}
	d.agents.apply(dir, good, problems, t)
	notify(d.statusLine())
}

// Reload builds a whole new configuration and swaps it in. On an error the old
// one stays and status says why.
func (d *Daemon) Reload() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	notifyReloading()
	defer notify("READY=1")
	err := d.reload()
	d.configErr = ""
	if err != nil {
		d.configErr = err.Error()
		d.log.Error("reload refused: the old configuration stays", zap.Error(err))
		return err
	}
	d.loadedAt = time.Now()
	d.log.Info("reloaded", zap.Int("agents", d.agents.size()))
	return nil
}

func (d *Daemon) reload() error {
	cfg, err := config.Load(d.path)
	if err != nil {
		return err
	}
	old := d.world.Load()
	if err := fixed(old.cfg, cfg); err != nil {
		return err
	}
	if err := errors.Join(hostFiles(cfg)...); err != nil {
		return err
	}
	w, err := newWorld(cfg, d.keeper, d.log)
	if err != nil {
		return err
	}
	d.world.Store(w)
	d.places.look()
	d.programs.follow(cfg.PluginsDir)
	d.applyFiles(TriggerReload)
	// Heartbeats that still wait with the old source fail now, and the reload's
	// own trigger starts them again with the new one.
	d.background.Go(old.close)
	return nil
}

// fixed refuses changes that a running daemon cannot take over.
func fixed(old, new *config.Config) error {
	var errs []error
	if old.StateDir != new.StateDir {
		errs = append(errs, fmt.Errorf("stateDir changed from %s to %s: restart the daemon for that", old.StateDir, new.StateDir))
	}
	if old.Socket != new.Socket {
		errs = append(errs, fmt.Errorf("socket changed from %s to %s: restart the daemon for that", old.Socket, new.Socket))
	}
	if old.HostKeyFile != new.HostKeyFile || old.KeeperSocket != new.KeeperSocket {
		errs = append(errs, errors.New("hostKeyFile or keeperSocket changed: restart the daemon for that"))
	}
	return errors.Join(errs...)
}
