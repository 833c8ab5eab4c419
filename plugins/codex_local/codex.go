package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/internal/cli"
)

//go:embed schema.json
var schema []byte

// codex is the adapter.
type codex struct{}

// Describe implements adapter.Adapter.
func (codex) Describe(context.Context) (adapter.Description, error) {
	return adapter.Description{Type: "codex_local", Version: cli.Version(), Schema: schema}, nil
}

// config holds the adapter's own fields of adapterConfig.
type config struct {
	cli.Common
	Effort           string
	Search, FastMode bool
	Bypass           bool // of codex's own sandbox
}

func readConfig(data []byte) (*config, error) {
	f, err := cli.NewFields(data)
	if err != nil {
		return nil, err
	}
	c := &config{
		Common:   f.Common("codex"),
		Effort:   f.Word("modelReasoningEffort", "minimal, low, medium, high or xhigh"),
		Search:   f.Bool("search", false),
		FastMode: f.Bool("fastMode", false),
		Bypass:   f.Bool("dangerouslyBypassApprovalsAndSandbox", true),
	}
	return c, f.Done()
}

// keys are the variables that can hold the key.
func keys() []string { return []string{"CODEX_API_KEY", "OPENAI_API_KEY"} }

// Plan implements adapter.Adapter.
func (codex) Plan(_ context.Context, r adapter.PlanRequest) (adapter.Plan, error) {
	c, err := readConfig(r.Config)
	if err != nil {
		return adapter.Plan{}, err
	}
	key, ok := cli.Bound(keys(), r.Env, r.SecretNames)
	switch {
	case !ok && len(r.SecretNames) > 0:
		return adapter.Plan{}, &adapter.Problem{Field: "env", Message: "has no key of the model API", Hint: "bind a secret as " + strings.Join(keys(), " or ")}
	case !ok: // an agent that names no secret has those of its record, which we do not see
		key = "OPENAI_API_KEY"
	}
	prompt, err := c.Prompt(&r)
	if err != nil {
		return adapter.Plan{}, err
	}
	fingerprint := c.Fingerprint()
	resume := cli.Resume(r.Session, fingerprint)
	return adapter.Plan{
		Argv:    c.argv(key, r.Env["OPENAI_BASE_URL"], resume),
		Dir:     c.Cwd,
		Env:     cli.Env(&r, nil),
		Stdin:   []byte(c.instructions() + prompt),
		Needs:   c.Needs(),
		Timeout: c.MaxRun,
		Carry:   cli.Carry{Fingerprint: fingerprint, Resumed: resume}.Bytes(),
	}, nil
}

// instructions come before the prompt, as codex has no option for them that
// does not replace its own. The agent may see a file that we cannot.
func (c *config) instructions() string {
	if c.InstructionsFilePath == "" {
		return ""
	}
	if text, ok := cli.ReadInstructions(c.InstructionsFilePath); ok {
		return strings.TrimSpace(text) + "\n\n"
	}
	return "Before anything else read " + c.InstructionsFilePath + " and do what it says.\n\n"
}

// argv sets everything on the command line: there is no config.toml to be
// written, and codex makes ~/.codex itself.
func (c *config) argv(key, baseURL, resume string) []string {
	argv := []string{c.Command}
	if c.Search { // is no option of exec
		argv = append(argv, "--search")
	}
	argv = append(argv, "exec", "--json", "--skip-git-repo-check",
		"--disable", "plugins", // fetches from GitHub at every start
		"--disable", "shell_snapshot") // a file with the whole environment, the key too, that a killed codex leaves
	if c.Bypass {
		argv = append(argv, "--dangerously-bypass-approvals-and-sandbox")
	} else {
		argv = append(argv, "-s", "workspace-write")
	}
	if c.Model != "" {
		argv = append(argv, "--model="+c.Model)
	}
	for _, setting := range c.settings(key, baseURL) {
		argv = append(argv, "-c", setting)
	}
	argv = append(argv, c.ExtraArgs...)
	if resume != "" {
		argv = append(argv, "resume", resume)
	}
	return append(argv, "-")
}

// settings are those that config.toml would have. The provider is one of our
// own, because that of codex sends no key of the environment but CODEX_API_KEY,
// and retries as often as it likes.
func (c *config) settings(key, baseURL string) []string {
	if baseURL == "" {
		baseURL = "https://api.openai.com/v1"
	}
	out := []string{
		`check_for_update_on_startup=false`,
		`analytics.enabled=false`,
		`feedback.enabled=false`,
		`model_provider="launcher"`,
		`model_providers.launcher={name="OpenAI", base_url=` + quote(baseURL) + `, env_key=` + quote(key) +
			`, wire_api="responses", request_max_retries=2, stream_max_retries=2}`, // some 5 s
	}
	if c.Effort != "" {
		out = append(out, `model_reasoning_effort=`+quote(c.Effort))
	}
	if c.FastMode {
		out = append(out, `service_tier="fast"`, `features.fast_mode=true`)
	}
	return out
}

// quote makes a string of TOML, of which those of JSON are some.
func quote(s string) string {
	text, _ := json.Marshal(s) // of a string
	return strings.ReplaceAll(string(text), "\x7f", `\u007f`)
}

// TestEnvironment implements adapter.EnvironmentTester.
func (codex) TestEnvironment(_ context.Context, r adapter.EnvironmentRequest) ([]adapter.Check, error) {
	c, err := readConfig(r.Config)
	if err != nil {
		return nil, err
	}
	checks := c.Checks(&r, keys())
	if !c.Bypass {
		checks = append(checks, adapter.Check{Level: adapter.LevelWarn, Field: "dangerouslyBypassApprovalsAndSandbox",
			Message: "leaves commands to codex's own sandbox, which does not start without user namespaces",
			Hint:    "leave it out: the launcher's sandbox holds either way"})
	}
	return checks, nil
}
