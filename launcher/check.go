package launcher

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/internal/trust"
	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/plugins"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// Report is what check found.
type Report struct {
	Config   *config.Config  // nil if it could not be loaded
	Agents   []*config.Agent // the valid ones
	Problems config.Problems // of files, each with its place; warnings among them
	Host     []error         // what this host lacks
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
	r.checkHost(cfg)
	r.checkAgents(ctx, cfg)
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

func (r *Report) checkHost(cfg *config.Config) {
	if stage, err := sandbox.StagePath(); err != nil {
		r.Host = append(r.Host, err)
	} else if err := trust.Check(stage); err != nil {
		r.Host = append(r.Host, err)
	}
	r.secretFile("host key", cfg.HostKeyFile)
	r.secretFile("host token", cfg.ControlPlane.TokenFile)
}

// secretFile looks at a file without reading it.
func (r *Report) secretFile(what, path string) {
	f, err := os.Open(path)
	if err != nil {
		r.Host = append(r.Host, fmt.Errorf("cannot open the %s: %w", what, err))
		return
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		r.Host = append(r.Host, fmt.Errorf("cannot look at the %s: %w", what, err))
	case info.Size() == 0:
		r.Host = append(r.Host, fmt.Errorf("the %s %s is empty", what, path))
	case info.Mode().Perm()&0o077 != 0:
		r.Host = append(r.Host, fmt.Errorf("the %s %s has mode %04o: others can read it, run chmod 0600", what, path, info.Mode().Perm()))
	}
}

func (r *Report) checkAgents(ctx context.Context, cfg *config.Config) {
	host, err := plugins.NewHost(plugins.Options{Dir: cfg.PluginsDir, Verify: trust.Check, Log: pluginLog(zap.NewNop())})
	if err != nil {
		r.Host = append(r.Host, err)
		return
	}
	defer host.Close()
	for _, a := range r.Agents {
		if _, err := account(a.User); err != nil {
			r.Problems = append(r.Problems, a.Problem("$.user", err.Error(), ""))
		}
		d, err := host.Describe(ctx, a.AdapterType)
		if err != nil {
			r.Problems = append(r.Problems, a.Problem("$.adapterType", err.Error(), ""))
			continue
		}
		r.Problems = append(r.Problems, config.ValidateAdapterConfig(a, d.Schema)...)
	}
}
