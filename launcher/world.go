package launcher

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/fetch"
	"github.com/agent-launcher/agent-launcher/internal/trust"
	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/plugins"
)

// world is one loaded configuration and what was built from it. A reload
// builds a new one and swaps it in; it is never changed.
type world struct {
	cfg     *config.Config
	source  fetch.Source
	ctx     context.Context // ends with it
	cancel  context.CancelFunc
	plugins *plugins.Host
	remove  func() // what of it lies elsewhere than in the state directory
}

func newWorld(cfg *config.Config, keeper *keeperLink, log *zap.Logger) (*world, error) {
	source, err := fetch.NewSealed(fetch.Options{
		URL:        cfg.ControlPlane.URL,
		HostID:     cfg.ControlPlane.HostID,
		TokenFile:  cfg.ControlPlane.TokenFile,
		SigningKey: cfg.ControlPlane.SigningKey,
		CAFile:     cfg.ControlPlane.CAFile,
		MaxWait:    min(cfg.Heartbeat.Interval, 30*time.Second),
	})
	if err != nil {
		return nil, err
	}
	starter, err := newPluginStarter(cfg, keeper, pluginsDir(cfg), true)
	if err != nil {
		source.Close()
		return nil, err
	}
	host, remove, err := newPluginHost(starter, log)
	if err != nil {
		source.Close()
		return nil, err
	}
	w := &world{cfg: cfg, source: source, plugins: host, remove: remove}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w, nil
}

// newPluginHost starts nothing yet. Call remove when the host is closed.
func newPluginHost(s *pluginStarter, log *zap.Logger) (host *plugins.Host, remove func(), err error) {
	sockets, remove, err := socketsDir(s.dir)
	if err != nil {
		return nil, nil, err
	}
	host, err = plugins.NewHost(plugins.Options{
		Dir: s.cfg.PluginsDir, Open: trust.Open, Pins: s.cfg.Pins, Start: s.start, RuntimeDir: sockets, Log: pluginLog(log),
	})
	if err != nil {
		remove()
	}
	return host, remove, err
}

func (w *world) close() {
	w.cancel()
	w.source.Close()
	w.plugins.Close()
	w.remove()
}

// pluginLog writes a plugin's lines with their level and the plugin's name.
func pluginLog(log *zap.Logger) func(plugins.Entry) {
	return func(e plugins.Entry) {
		fields := []zap.Field{zap.String("plugin", e.Plugin)}
		for k, v := range e.Fields {
			fields = append(fields, zap.String("plugin."+k, fmt.Sprint(v)))
		}
		level, err := zap.ParseAtomicLevel(e.Level)
		if err != nil {
			level = zap.NewAtomicLevel()
		}
		log.Log(level.Level(), e.Message, fields...)
	}
}
