package main

import (
	"context"
	_ "embed"
	"os"
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/internal/cli"
)

//go:embed schema.json
var schema []byte

// claude is the adapter.
type claude struct{}

// Describe implements adapter.Adapter.
func (claude) Describe(context.Context) (adapter.Description, error) {
	return adapter.Description{Type: "claude_local", Version: cli.Version(), Schema: schema}, nil
}

// config holds the adapter's own fields of adapterConfig.
type config struct {
	cli.Common
	Effort          string
	MaxTurns        int // 0: no limit
	SkipPermissions bool
}

func readConfig(data []byte) (*config, error) {
	f, err := cli.NewFields(data)
	if err != nil {
		return nil, err
	}
	c := &config{
		Common:          f.Common("claude"),
		Effort:          f.Word("effort", "low, medium, high, xhigh or max"),
		MaxTurns:        f.Count("maxTurnsPerRun", 100_000),
		SkipPermissions: f.Bool("dangerouslySkipPermissions", true),
	}
	return c, f.Done()
}

// keys are the variables from which the tool takes its key.
func keys() []string {
	return []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"}
}

// clouds make the tool use another provider, whose key is its own affair.
func clouds() []string {
	return []string{"CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"}
}

// Plan implements adapter.Adapter.
func (claude) Plan(_ context.Context, r adapter.PlanRequest) (adapter.Plan, error) {
	c, err := readConfig(r.Config)
	if err != nil {
		return adapter.Plan{}, err
	}
	// An agent that names no secret has those of its record, which we do not see.
	if _, ok := cli.Bound(append(keys(), clouds()...), r.Env, r.SecretNames); !ok && len(r.SecretNames) > 0 {
		return adapter.Plan{}, &adapter.Problem{Field: "env", Message: "has no key of the model API",
			Hint: "bind a secret as one of " + strings.Join(keys(), ", ")}
	}
	prompt, err := c.Prompt(&r)
	if err != nil {
		return adapter.Plan{}, err
	}
	fingerprint := c.Fingerprint()
	resume := cli.Resume(r.Session, fingerprint)
	return adapter.Plan{
		Argv:    c.argv(resume),
		Dir:     c.Cwd,
		Env:     cli.Env(&r, quiet()),
		Stdin:   []byte(prompt),
		Needs:   c.Needs(),
		Timeout: c.MaxRun,
		Carry:   cli.Carry{Fingerprint: fingerprint, Resumed: resume}.Bytes(),
	}, nil
}

// argv gives values as --name=value, so that none can be another option.
func (c *config) argv(resume string) []string {
	argv := []string{c.Command, "-p", "--output-format", "stream-json", "--verbose"}
	add := func(name, value string) {
		if value != "" {
			argv = append(argv, name+"="+value)
		}
	}
	add("--resume", resume)
	add("--model", c.Model)
	add("--effort", c.Effort)
	add("--append-system-prompt-file", c.InstructionsFilePath)
	if c.MaxTurns > 0 {
		add("--max-turns", strconv.Itoa(c.MaxTurns))
	}
	if c.SkipPermissions {
		argv = append(argv, "--dangerously-skip-permissions")
	}
	return append(argv, c.ExtraArgs...)
}

// quiet keeps the tool from everything but its work: by itself it updates itself,
// reports home, and retries a refused key for three minutes.
func quiet() map[string]string {
	return map[string]string{
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
		"DISABLE_AUTOUPDATER":                      "1",
		"DISABLE_ERROR_REPORTING":                  "1",
		"DISABLE_TELEMETRY":                        "1",
		"CLAUDE_CODE_MAX_RETRIES":                  "3", // some 5 s
	}
}

// TestEnvironment implements adapter.EnvironmentTester.
func (claude) TestEnvironment(_ context.Context, r adapter.EnvironmentRequest) ([]adapter.Check, error) {
	c, err := readConfig(r.Config)
	if err != nil {
		return nil, err
	}
	checks := c.Checks(&r, append(keys(), clouds()...))
	if c.SkipPermissions && r.Env["IS_SANDBOX"] == "" && os.Geteuid() == 0 {
		checks = append(checks, adapter.Check{Level: adapter.LevelInfo, Field: "dangerouslySkipPermissions", Message: "is refused by claude if the agent runs as root, as the launcher does",
			Hint: "give the agent a user of its own, or set IS_SANDBOX=1 in env"})
	}
	return checks, nil
}
