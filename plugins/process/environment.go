package main

import (
	"context"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/internal/cli"
)

// TestEnvironment implements adapter.EnvironmentTester. The agent's user may see
// more than we do, so nothing that it finds is more than a warning.
func (process) TestEnvironment(_ context.Context, r adapter.EnvironmentRequest) ([]adapter.Check, error) {
	c, err := readConfig(r.Config)
	if err != nil {
		return nil, err
	}
	return append([]adapter.Check{cli.FindCommand(c.Command, r.Env)}, cli.CheckCwd(c.Cwd)...), nil
}
