package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

func plan(t *testing.T, r adapter.PlanRequest) adapter.Plan {
	t.Helper()
	if r.SecretNames == nil {
		r.SecretNames = []string{"OPENAI_API_KEY"}
	}
	p, err := codex{}.Plan(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestArgv(t *testing.T) {
	const always = "exec --json --skip-git-repo-check --disable plugins --disable shell_snapshot"
	const bypass = " --dangerously-bypass-approvals-and-sandbox"
	settings := func(key, url string) string {
		return ` -c check_for_update_on_startup=false -c analytics.enabled=false -c feedback.enabled=false -c model_provider="launcher"` +
			` -c model_providers.launcher={name="OpenAI", base_url="` + url + `", env_key="` + key + `", wire_api="responses", request_max_retries=2, stream_max_retries=2}`
	}
	usual := settings("OPENAI_API_KEY", "https://api.openai.com/v1")
	for _, c := range []struct {
		config  string
		env     map[string]string
		secrets []string
		want    string
	}{
		{`{"cwd":"/w"}`, nil, nil, "codex " + always + bypass + usual + " -"},
		{`{"cwd":"/w","command":"","model":"","search":false,"extraArgs":[]}`, nil, []string{}, "codex " + always + bypass + usual + " -"},
		{`{"cwd":"/w","dangerouslyBypassApprovalsAndSandbox":false}`, nil, []string{"OPENAI_API_KEY", "CODEX_API_KEY"},
			"codex " + always + " -s workspace-write" + settings("CODEX_API_KEY", "https://api.openai.com/v1") + " -"},
		{`{"cwd":"/w","command":"/opt/codex","model":"-m","modelReasoningEffort":"high","search":true,"fastMode":true,"extraArgs":["--oss"]}`, map[string]string{"OPENAI_BASE_URL": "http://h/\"\\\x7f"}, nil,
			"/opt/codex --search " + always + bypass + " --model=-m" + settings("OPENAI_API_KEY", `http://h/\"\\\u007f`) +
				` -c model_reasoning_effort="high" -c service_tier="fast" -c features.fast_mode=true --oss -`},
	} {
		if got := strings.Join(plan(t, adapter.PlanRequest{Config: json.RawMessage(c.config), Env: c.env, SecretNames: c.secrets}).Argv, " "); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.config, got, c.want)
		}
	}
}

func TestPlan(t *testing.T) {
	p := plan(t, adapter.PlanRequest{
		AgentName: "Ada", Wake: json.RawMessage(`{"reason":"comment"}`), Env: map[string]string{"A": "1"},
		Config: json.RawMessage(`{"cwd":"/w","instructionsFilePath":"/none/i.md","promptTemplate":"{{agent.name}} {{context.reason}}"}`),
	})
	const want = "/w Before anything else read /none/i.md and do what it says.\n\nAda comment map[A:1] {[/none/i.md] [/w] [] true} 1h0m0s"
	if got := fmt.Sprint(p.Dir, " ", string(p.Stdin), " ", p.Env, " ", p.Needs, " ", p.Timeout); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestResume also shows that instructions come before the prompt, and that
// others begin a new session.
func TestResume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "AGENTS.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("be brief\n")
	request := adapter.PlanRequest{Config: json.RawMessage(fmt.Sprintf(`{"cwd":"/w","instructionsFilePath":%q,"promptTemplate":"go on"}`, file))}
	first := plan(t, request)
	if string(first.Stdin) != "be brief\n\ngo on" || slices.Contains(first.Argv, "resume") {
		t.Errorf("%q %q", first.Stdin, first.Argv)
	}
	request.Session = &adapter.Session{ID: "01a214cb-1df0-78b1-a8d0-eb12d79e42cd", State: first.Carry}
	second := plan(t, request)
	if !slices.Equal(second.Argv[len(second.Argv)-3:], []string{"resume", request.Session.ID, "-"}) {
		t.Errorf("%q", second.Argv)
	}
	write("be thorough\n")
	if third := plan(t, request); slices.Contains(third.Argv, "resume") {
		t.Errorf("%q", third.Argv)
	}
}

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "codex"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config  string
		secrets []string
		want    []string // level and field
	}{
		{fmt.Sprintf(`{"cwd":%q}`, dir), []string{"CODEX_API_KEY"}, []string{"info command"}},
		{fmt.Sprintf(`{"cwd":%q,"dangerouslyBypassApprovalsAndSandbox":false}`, dir), nil, []string{"info command", "info env", "warn dangerouslyBypassApprovalsAndSandbox"}},
		{`{}`, nil, nil},
	} {
		checks, err := codex{}.TestEnvironment(context.Background(), adapter.EnvironmentRequest{
			Config: json.RawMessage(c.config), Env: map[string]string{"PATH": dir}, SecretNames: c.secrets})
		var got []string
		for _, check := range checks {
			got = append(got, string(check.Level)+" "+check.Field)
		}
		if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: %q %v, want %q", c.config, got, err, c.want)
		}
	}
}
