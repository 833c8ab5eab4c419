package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adaptertest"
	"github.com/agent-launcher/agent-launcher/plugins/internal/cli"
)

// usage is what the stub's answers of one turn report.
func usage(turns int64) adapter.Usage {
	return adapter.Usage{InputTokens: 12 * turns, CachedInputTokens: 3 * turns, OutputTokens: 5 * turns}
}

// cases holds the recordings of testdata, which `make e2e` compares with the
// real tool, and configurations.
func cases(t *testing.T) []adaptertest.Case {
	keys := []string{"ANTHROPIC_API_KEY"}
	out := []adaptertest.Case{
		{Config: `{"cwd":"relative","command":"./x","model":7,"effort":"HIGH","maxTurnsPerRun":-1,"extraArgs":["a",null],"promptTemplate":"{{x}}","instructionsFilePath":"i.md","maxRunSec":1.5,"dangerouslySkipPermissions":"yes","Cwd":""}`,
			Problems: []string{"cwd", "command", "model", "effort", "maxTurnsPerRun", "extraArgs[1]", "promptTemplate", "instructionsFilePath", "maxRunSec", "dangerouslySkipPermissions", "Cwd"}},
		{Config: `{"cwd":"/w","promptTemplate":"{{task}}"}`, Secrets: keys, Problems: []string{"promptTemplate"}},
		{Config: `{"cwd":"/w"}`, Secrets: []string{"OTHER"}, Problems: []string{"env"}},
		{Config: `{"cwd":"/w","command":"claude -p"}`, Secrets: keys, Problems: []string{"command"}},
		{Config: `{"cwd":"/w","extraArgs":["\u0000"],"model":"\u0000"}`, Secrets: keys, Problems: []string{"extraArgs[0]", "model"}},
		{Config: `[]`, Problems: []string{""}},
		{Config: `{"cwd":"/w","promptTemplate":"{{task}}"}`, Secrets: keys, Task: "T-1", Env: map[string]string{"A": "1"}},
	}
	for _, r := range []struct {
		name    string
		resumed bool
		exit    adapter.Exit
		want    adapter.Outcome
		session bool
	}{
		{"first", false, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=1", Usage: usage(1), CostUSD: 0.0001506}, true},
		{"second", true, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=2", Usage: usage(1), CostUSD: 0.0001134}, true},
		{"third", true, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=3", Usage: usage(1), CostUSD: 0.0001134}, true},
		{"max_turns", false, adapter.Exit{Code: 1}, adapter.Outcome{Usage: usage(2), CostUSD: 0.0003012, Error: "Reached maximum number of turns (2)", Class: adapter.ErrorLimit}, true},
		{"empty", false, adapter.Exit{}, adapter.Outcome{Usage: usage(2), CostUSD: 0.0003012}, false},
		{"status_401", false, adapter.Exit{Code: 1}, adapter.Outcome{Error: "Failed to authenticate. API Error: 401 the stub answers 401", Class: adapter.ErrorAuth}, false},
		{"resumed_401", true, adapter.Exit{Code: 1}, adapter.Outcome{Error: "Failed to authenticate. API Error: 401 the stub answers 401", Class: adapter.ErrorAuth}, true},
		{"status_429", false, adapter.Exit{Code: 1}, adapter.Outcome{Error: "API Error: Request rejected (429) · the stub answers 429", Class: adapter.ErrorRateLimit}, false},
		{"status_404", false, adapter.Exit{Code: 1}, adapter.Outcome{Error: "There's an issue with the selected model (claude-opus-5-5). It may not exist or you may not have access to it. Run --model to pick a different model.", Class: adapter.ErrorConfig}, false},
		{"status_529", false, adapter.Exit{Code: 1}, adapter.Outcome{Error: "API Error: 529 the stub answers 529. This is a server-side issue, usually temporary — try again in a moment. If it persists, check your inference gateway (127.0.0.1:8080).", Class: adapter.ErrorOverloaded}, false},
		{"refused", false, adapter.Exit{Code: 1}, adapter.Outcome{Error: "API Error: Connection refused — a firewall or proxy may be blocking it (ECONNREFUSED)", Class: adapter.ErrorNetwork}, false},
		{"unknown_session", true, adapter.Exit{Code: 1}, adapter.Outcome{Error: "claude does not know the session", Class: adapter.ErrorSession}, false},
		{"no_key", false, adapter.Exit{Code: 1}, adapter.Outcome{Error: "Not logged in · Please run /login", Class: adapter.ErrorAuth}, false},
		{"as_root", false, adapter.Exit{Code: 1}, adapter.Outcome{Error: "--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons", Class: adapter.ErrorConfig}, false},
		{"unknown_option", false, adapter.Exit{Code: 1}, adapter.Outcome{Error: "error: unknown option '--nosuch'", Class: adapter.ErrorConfig}, false},
		{"killed", true, adapter.Exit{Code: 143}, adapter.Outcome{Error: "exit status 143", Class: adapter.ErrorOther}, true},
		{"killed", true, adapter.Exit{Code: 143, Reason: "timed out: timeoutSec is over"}, adapter.Outcome{Error: "the run timed out: timeoutSec is over", Class: adapter.ErrorTimeout}, true},
		{"killed", true, adapter.Exit{Signal: 9, Reason: "stopped"}, adapter.Outcome{Error: "the run was ended: stopped", Class: adapter.ErrorOther}, true},
		{"killed", true, adapter.Exit{Signal: 9}, adapter.Outcome{Error: "ended by signal 9", Class: adapter.ErrorOther}, true},
		{"killed", true, adapter.Exit{}, adapter.Outcome{Error: "claude ended without a result", Class: adapter.ErrorOther}, true},
	} {
		out = append(out, recorded(t, keys, r.name, r.resumed, r.exit, r.want, r.session))
	}
	return out
}

func recorded(t *testing.T, keys []string, name string, resumed bool, exit adapter.Exit, want adapter.Outcome, session bool) adaptertest.Case {
	t.Helper()
	output, err := os.ReadFile(filepath.Join("testdata", name+".out"))
	if err != nil {
		t.Fatal(err)
	}
	c := adaptertest.Case{Name: name, Config: `{"cwd":"/srv/agent/work"}`, Secrets: keys, Output: string(output), Exit: exit, Want: &want}
	id := regexp.MustCompile(`"session_id":"([^"]+)"`).FindStringSubmatch(c.Output)
	if session {
		want.Session = &adapter.Session{ID: id[1]}
	}
	if resumed {
		common, err := readConfig([]byte(c.Config))
		if err != nil {
			t.Fatal(err)
		}
		state, err := json.Marshal(cli.State{Fingerprint: common.Fingerprint(), CostUSD: 0.0001})
		if err != nil {
			t.Fatal(err)
		}
		c.Session = &adapter.Session{ID: id[1], State: state}
	}
	return c
}

func TestConformance(t *testing.T) { adaptertest.Run(t, claude{}, cases(t)...) }

func TestConformanceOfTheBinary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "claude_local")
	if out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	adaptertest.RunBinary(t, path, cases(t)...)
}
