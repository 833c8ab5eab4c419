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

// spent is what the stub's answers to so many requests report, once the input
// from a cache is taken out of the rest.
func spent(requests int64) adapter.Usage {
	return adapter.Usage{InputTokens: 8 * requests, CachedInputTokens: 3 * requests, OutputTokens: 7 * requests}
}

// cases holds the recordings of testdata, which `make e2e` compares with the
// real tool, and configurations.
func cases(t *testing.T) []adaptertest.Case {
	keys := []string{"OPENAI_API_KEY"}
	out := []adaptertest.Case{
		{Config: `{"cwd":"relative","command":"./x","model":7,"modelReasoningEffort":"a b","search":1,"fastMode":"x","extraArgs":"a","promptTemplate":"{{x}}","instructionsFilePath":"i.md","maxRunSec":-1,"dangerouslyBypassApprovalsAndSandbox":0,"sandbox":""}`,
			Problems: []string{"cwd", "command", "model", "modelReasoningEffort", "search", "fastMode", "extraArgs", "promptTemplate", "instructionsFilePath", "maxRunSec", "dangerouslyBypassApprovalsAndSandbox", "sandbox"}},
		{Config: `{"cwd":"/w"}`, Secrets: []string{"OTHER"}, Problems: []string{"env"}},
		{Config: `{"cwd":"/w","promptTemplate":" {{task}}"}`, Secrets: keys, Problems: []string{"promptTemplate"}},
		{Config: `{"cwd":"/w","promptTemplate":"{{task}}"}`, Secrets: keys, Task: "T-1", Env: map[string]string{"A": "1", "OPENAI_BASE_URL": "http://h/v1"}},
	}
	for _, r := range []struct {
		name    string
		resumed int64 // requests of the session so far
		exit    adapter.Exit
		want    adapter.Outcome
		session bool
	}{
		{"first", 0, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=1", Usage: spent(1)}, true},
		{"second", 1, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=2", Usage: spent(1)}, true},
		{"third", 1, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=3", Usage: spent(2)}, true}, // one run between them left no total
		{"first", 9, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=1", Usage: spent(1)}, true}, // counted from nothing again
		{"other_model", 0, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=1", Usage: spent(1)}, true},
		{"tool", 0, adapter.Exit{}, adapter.Outcome{Summary: "STUB turns=1", Usage: spent(2)}, true},
		{"empty", 0, adapter.Exit{}, adapter.Outcome{Usage: spent(1), Error: "codex ended without a message", Class: adapter.ErrorOther}, false},
		{"status_400", 0, adapter.Exit{Code: 1}, adapter.Outcome{Error: "the stub answers 400", Class: adapter.ErrorOther}, false},
		{"status_401", 0, adapter.Exit{Code: 1}, adapter.Outcome{Error: "unexpected status 401 Unauthorized: the stub answers 401, url: http://127.0.0.1:8080/401/v1/responses", Class: adapter.ErrorAuth}, false},
		{"resumed_401", 3, adapter.Exit{Code: 1}, adapter.Outcome{Error: "unexpected status 401 Unauthorized: the stub answers 401, url: http://127.0.0.1:8080/401/v1/responses", Class: adapter.ErrorAuth}, true},
		{"status_404", 0, adapter.Exit{Code: 1}, adapter.Outcome{Error: "unexpected status 404 Not Found: the stub answers 404, url: http://127.0.0.1:8080/404/v1/responses", Class: adapter.ErrorConfig}, false},
		{"status_429", 0, adapter.Exit{Code: 1}, adapter.Outcome{Error: "exceeded retry limit, last status: 429 Too Many Requests", Class: adapter.ErrorRateLimit}, false},
		{"status_500", 0, adapter.Exit{Code: 1}, adapter.Outcome{Error: "We’re currently experiencing high demand, which may cause temporary errors.", Class: adapter.ErrorOverloaded}, false},
		{"cut", 0, adapter.Exit{Code: 1}, adapter.Outcome{Error: "stream disconnected before completion: stream closed before response.completed", Class: adapter.ErrorOverloaded}, false},
		{"unknown_session", 1, adapter.Exit{Code: 1}, adapter.Outcome{Error: "codex does not know the session", Class: adapter.ErrorSession}, false},
		{"no_key", 0, adapter.Exit{Code: 1}, adapter.Outcome{Error: "Missing environment variable: `OPENAI_API_KEY`.", Class: adapter.ErrorAuth}, false},
		{"unknown_option", 0, adapter.Exit{Code: 2}, adapter.Outcome{Error: "error: unexpected argument '--nosuch' found", Class: adapter.ErrorConfig}, false},
		{"refused", 0, adapter.Exit{Signal: 15, Reason: "timed out: timeoutSec is over"}, adapter.Outcome{Error: "the model API was not reached: the run timed out: timeoutSec is over", Class: adapter.ErrorNetwork}, false},
		{"refused", 0, adapter.Exit{Signal: 15}, adapter.Outcome{Error: "Reconnecting... waiting for network (Connection failed: error sending request)", Class: adapter.ErrorNetwork}, false},
		{"killed", 3, adapter.Exit{Signal: 15, Reason: "timed out: timeoutSec is over"}, adapter.Outcome{Error: "the run timed out: timeoutSec is over", Class: adapter.ErrorTimeout}, true},
		{"killed", 3, adapter.Exit{Signal: 9}, adapter.Outcome{Error: "ended by signal 9", Class: adapter.ErrorOther}, true},
		{"killed", 3, adapter.Exit{}, adapter.Outcome{Error: "codex ended without a result", Class: adapter.ErrorOther}, true},
	} {
		out = append(out, recorded(t, keys, r.name, r.resumed, r.exit, r.want, r.session))
	}
	return out
}

func recorded(t *testing.T, keys []string, name string, resumed int64, exit adapter.Exit, want adapter.Outcome, session bool) adaptertest.Case {
	t.Helper()
	output, err := os.ReadFile(filepath.Join("testdata", name+".out"))
	if err != nil {
		t.Fatal(err)
	}
	c := adaptertest.Case{Name: name, Config: `{"cwd":"/srv/agent/work"}`, Secrets: keys, Output: string(output), Exit: exit, Want: &want}
	id := "00000000-0000-4000-8000-000000000000"
	if m := regexp.MustCompile(`"thread_id":"([^"]+)"`).FindStringSubmatch(c.Output); m != nil {
		id = m[1]
	}
	if session {
		want.Session = &adapter.Session{ID: id}
	}
	if resumed > 0 {
		config, err := readConfig([]byte(c.Config))
		if err != nil {
			t.Fatal(err)
		}
		state, err := json.Marshal(cli.State{Fingerprint: config.Fingerprint(), Usage: spent(resumed)})
		if err != nil {
			t.Fatal(err)
		}
		c.Session = &adapter.Session{ID: id, State: state}
	}
	return c
}

func TestConformance(t *testing.T) { adaptertest.Run(t, codex{}, cases(t)...) }

func TestConformanceOfTheBinary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "codex_local")
	if out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	adaptertest.RunBinary(t, path, cases(t)...)
}
