package launcher

import (
	"context"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/plugins"
	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// testEnvironment asks an agent's adapter whether this host has what it needs.
func (r *Report) testEnvironment(ctx context.Context, host *plugins.Host, a *config.Agent) {
	checks, err := host.TestEnvironment(ctx, a.AdapterType, adapter.EnvironmentRequest{
		AgentID: a.ID, AgentName: a.Name, CompanyID: a.CompanyID,
		Config: a.AdapterConfig, Env: a.Plain, SecretNames: secretNames(a.Bindings),
	})
	if err != nil {
		r.Problems = append(r.Problems, a.Problem("$.adapterType", err.Error(), hint(err)))
		return
	}
	for _, c := range checks {
		path := "$.adapterConfig"
		if c.Field != "" {
			path += "." + c.Field
		}
		p := a.Problem(path, "adapter "+a.AdapterType+": "+c.Message, c.Hint)
		switch p.Warning = c.Level == adapter.LevelWarn; c.Level {
		case adapter.LevelInfo:
			r.Notes = append(r.Notes, p)
		default:
			r.Problems = append(r.Problems, p)
		}
	}
}
