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
		r.SecretNames = []string{"ANTHROPIC_API_KEY"}
	}
	p, err := claude{}.Plan(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestArgv(t *testing.T) {
	const always = "claude -p --output-format stream-json --verbose"
	for _, c := range []struct{ config, want string }{
		{`{"cwd":"/w"}`, always + " --dangerously-skip-permissions"},
		{`{"cwd":"/w","command":"","model":"","effort":"","maxTurnsPerRun":0,"instructionsFilePath":"","promptTemplate":"","extraArgs":[]}`, always + " --dangerously-skip-permissions"},
		{`{"cwd":"/w","dangerouslySkipPermissions":false,"extraArgs":["--allowedTools","Bash(git *)"]}`, always + " --allowedTools Bash(git *)"},
		{`{"cwd":"/w","command":"/opt/claude","model":"-x","effort":"high","maxTurnsPerRun":7,"instructionsFilePath":"/i.md"}`,
			"/opt/claude -p --output-format stream-json --verbose --model=-x --effort=high --append-system-prompt-file=/i.md --max-turns=7 --dangerously-skip-permissions"},
	} {
		if got := strings.Join(plan(t, adapter.PlanRequest{Config: json.RawMessage(c.config)}).Argv, " "); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.config, got, c.want)
		}
	}
}

func TestPlan(t *testing.T) {
	p := plan(t, adapter.PlanRequest{
		AgentName: "Ada", Task: "T-1", Wake: json.RawMessage(`{"reason":"comment"}`),
		Config:      json.RawMessage(`{"cwd":"/w","instructionsFilePath":"/none/i.md","promptTemplate":"{{agent.name}} {{task}} {{wake.reason}}","maxRunSec":60}`),
		Env:         map[string]string{"A": "1", "CLAUDE_CODE_MAX_RETRIES": "9"},
		SecretNames: []string{"CLAUDE_CODE_OAUTH_TOKEN", "DISABLE_TELEMETRY"},
	})
	const want = "/w Ada T-1 comment map[A:1 CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC:1 CLAUDE_CODE_MAX_RETRIES:9 DISABLE_AUTOUPDATER:1 DISABLE_ERROR_REPORTING:1]" +
		" {[/none/i.md] [/w] [] true} 1m0s"
	if got := fmt.Sprint(p.Dir, " ", string(p.Stdin), " ", p.Env, " ", p.Needs, " ", p.Timeout); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// TestKey: nobody runs for a minute to find that there is no key.
func TestKey(t *testing.T) {
	for _, c := range []struct {
		env     map[string]string
		secrets []string
		ok      bool
	}{
		{nil, []string{"ANTHROPIC_API_KEY"}, true},
		{nil, []string{"OTHER", "ANTHROPIC_AUTH_TOKEN"}, true},
		{map[string]string{"CLAUDE_CODE_USE_BEDROCK": "1"}, []string{"AWS_BEARER_TOKEN_BEDROCK"}, true},
		{map[string]string{"ANTHROPIC_API_KEY": "plain"}, []string{"OTHER"}, true},
		{nil, []string{}, true}, // those of the record
		{nil, []string{"OTHER"}, false},
		{map[string]string{"ANTHROPIC_API_KEY": ""}, []string{"OTHER"}, false},
	} {
		_, err := claude{}.Plan(context.Background(), adapter.PlanRequest{Config: json.RawMessage(`{"cwd":"/w"}`), Env: c.env, SecretNames: c.secrets})
		if (err == nil) != c.ok {
			t.Errorf("%v %v: %v", c.env, c.secrets, err)
		}
	}
}

// TestResume: a session is resumed while what it was begun with is the same.
func TestResume(t *testing.T) {
	file := filepath.Join(t.TempDir(), "AGENTS.md")
	if err := os.WriteFile(file, []byte("be brief"), 0o644); err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf(`{"cwd":"/w","instructionsFilePath":%q`, file)
	state := plan(t, adapter.PlanRequest{Config: json.RawMessage(base + `}`)}).Carry
	session := &adapter.Session{ID: "872bd977-c8eb-49b5-a415-4f0af687e080", State: state}
	resumes := func(config string, s *adapter.Session) bool {
		p := plan(t, adapter.PlanRequest{Config: json.RawMessage(config), Session: s})
		return slices.Contains(p.Argv, "--resume="+session.ID)
	}
	for _, c := range []struct {
		config  string
		session *adapter.Session
		want    bool
	}{
		{base + `}`, session, true},
		{base + `,"promptTemplate":"other","maxTurnsPerRun":3}`, session, true},
		{base + `,"model":"opus"}`, session, false},
		{`{"cwd":"/w"}`, session, false},
		{strings.Replace(base, "/w", "/v", 1) + `}`, session, false},
		{base + `}`, nil, false},
		{base + `}`, &adapter.Session{ID: session.ID, State: []byte("{")}, false},
		{base + `}`, &adapter.Session{ID: "--help", State: state}, false},
	} {
		if got := resumes(c.config, c.session); got != c.want {
			t.Errorf("%s %+v: resumed %v", c.config, c.session, got)
		}
	}
	if err := os.WriteFile(file, []byte("be thorough"), 0o644); err != nil {
		t.Fatal(err)
	}
	if resumes(base+`}`, session) {
		t.Error("resumed although the instructions changed")
	}
}

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "claude")
	if err := os.WriteFile(tool, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		config  string
		env     map[string]string
		secrets []string
		want    []string // level and field
	}{
		{fmt.Sprintf(`{"cwd":%q,"dangerouslySkipPermissions":false}`, dir), map[string]string{"PATH": dir}, []string{"ANTHROPIC_API_KEY"}, []string{"info command"}},
		{fmt.Sprintf(`{"cwd":%q,"command":%q}`, dir, tool), map[string]string{"IS_SANDBOX": "1"}, nil, []string{"info command", "info env"}},
		{fmt.Sprintf(`{"cwd":%q,"dangerouslySkipPermissions":false,"instructionsFilePath":"/none/such"}`, tool), map[string]string{"PATH": "/none"}, []string{"ANTHROPIC_API_KEY"},
			[]string{"warn command", "warn cwd", "warn instructionsFilePath"}},
		{`{}`, nil, nil, nil},
	} {
		checks, err := claude{}.TestEnvironment(context.Background(), adapter.EnvironmentRequest{Config: json.RawMessage(c.config), Env: c.env, SecretNames: c.secrets})
		var got []string
		for _, check := range checks {
			got = append(got, string(check.Level)+" "+check.Field)
		}
		if !slices.Equal(got, c.want) || (err != nil) != (c.want == nil) {
			t.Errorf("%s: %q %v, want %q", c.config, got, err, c.want)
		}
	}
	checks, err := claude{}.TestEnvironment(context.Background(), adapter.EnvironmentRequest{Config: json.RawMessage(`{"cwd":"/"}`), SecretNames: keys()})
	if last := checks[len(checks)-1]; err != nil || (last.Field == "dangerouslySkipPermissions") != (os.Geteuid() == 0) {
		t.Errorf("%v %v", checks, err)
	}
}
