package main

import (
	"context"
	_ "embed"
	"runtime/debug"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

//go:embed schema.json
var schema []byte

// process is the adapter.
type process struct{}

// Describe implements adapter.Adapter.
func (process) Describe(context.Context) (adapter.Description, error) {
	return adapter.Description{Type: "process", Version: version(), Schema: schema}, nil
}

// Plan implements adapter.Adapter.
func (process) Plan(_ context.Context, r adapter.PlanRequest) (adapter.Plan, error) {
	c, err := readConfig(r.Config)
	if err != nil {
		return adapter.Plan{}, err
	}
	return adapter.Plan{
		Argv: append([]string{c.Command}, c.Args...),
		Dir:  c.Cwd,
		Env:  r.Env,
	}, nil
}

// version is the module's, as the Go linker recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
