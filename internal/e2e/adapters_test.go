//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/internal/modelstub"
	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

var recording = flag.Bool("record", false, "write what the tools print over the recordings in the plugins' testdata")

// turn is one run of a real tool as its adapter plans it.
type turn struct {
	name   string         // of the recording
	mode   string         // of the model stub; empty: nobody listens
	config map[string]any // beside command and cwd
	env    map[string]string
	resume string // the turn whose session it resumes; "none": one that is not there
	kill   bool   // once its request is there
	key    string // the secret's name; empty: the adapter's usual

	exit    int
	summary string // of the outcome
	class   string
	fails   string // in the outcome's error
	input   int64  // tokens of this run
	cached  int64
	output  int64
	session bool // there is one to resume
}

// tool is a command-line tool with its adapter.
type tool struct {
	adapter string
	path    string // below node_modules
	key     string // the secret's name
	baseURL string // the variable
	suffix  string // of the base URL
	arrives string // before the key, in the header
	cost    bool   // it says what runs cost
	turns   []turn
}

// As root, claude refuses to skip permissions outside of a sandbox.
func sandboxed() map[string]string { return map[string]string{"IS_SANDBOX": "1"} }

func quick(more ...string) map[string]string {
	env := map[string]string{"IS_SANDBOX": "1", "CLAUDE_CODE_MAX_RETRIES": "1"}
	for i := 0; i+1 < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

func tools() []tool {
	return []tool{{
		adapter: "claude_local", path: claude, key: "ANTHROPIC_API_KEY", baseURL: "ANTHROPIC_BASE_URL", cost: true,
		turns: []turn{
			{name: "first", mode: "ok", env: sandboxed(), summary: "STUB turns=1", input: 12, cached: 3, output: 5, session: true},
			{name: "second", mode: "ok", env: sandboxed(), resume: "first", summary: "STUB turns=2", input: 12, cached: 3, output: 5, session: true},
			{name: "third", mode: "ok", env: sandboxed(), resume: "second", summary: "STUB turns=3", input: 12, cached: 3, output: 5, session: true,
				config: map[string]any{"effort": "low", "dangerouslySkipPermissions": false, "extraArgs": []string{"--allowedTools", "Read"}}},
			{name: "other_model", mode: "ok", env: sandboxed(), resume: "first", config: map[string]any{"model": "sonnet"}, summary: "STUB turns=1", input: 12, cached: 3, output: 5, session: true},
			{name: "instructions", mode: "ok", env: sandboxed(), config: map[string]any{"instructionsFilePath": "AGENTS.md"}, summary: "STUB turns=1", input: 12, cached: 3, output: 5, session: true},
			{name: "auth_token", mode: "ok", env: sandboxed(), key: "ANTHROPIC_AUTH_TOKEN", summary: "STUB turns=1", input: 12, cached: 3, output: 5, session: true},
			{name: "max_turns", mode: "tool", env: sandboxed(), config: map[string]any{"maxTurnsPerRun": 2}, exit: 1, class: "limit", fails: "Reached maximum number of turns (2)", input: 24, cached: 6, output: 10, session: true},
			{name: "empty", mode: "empty", env: sandboxed(), input: 24, cached: 6, output: 10},
			{name: "status_401", mode: "401", env: quick(), exit: 1, class: "auth", fails: "Failed to authenticate. API Error: 401"},
			{name: "status_404", mode: "404", env: quick(), exit: 1, class: "config", fails: "issue with the selected model"},
			{name: "status_429", mode: "429", env: quick(), exit: 1, class: "rate_limit", fails: "429"},
			{name: "status_500", mode: "500", env: quick(), exit: 1, class: "overloaded", fails: "500"},
			{name: "status_529", mode: "529", env: quick(), exit: 1, class: "overloaded", fails: "529"},
			{name: "resumed_401", mode: "401", env: quick(), resume: "third", exit: 1, class: "auth", fails: "401", session: true},
			{name: "cut", mode: "cut", env: quick(), exit: 1, class: "overloaded", fails: "malformed response", input: 12, cached: 3, output: 1},
			{name: "refused", env: quick(), exit: 1, class: "network", fails: "Connection refused"},
			{name: "unknown_session", mode: "ok", env: sandboxed(), resume: "none", exit: 1, class: "session", fails: "does not know the session"},
			{name: "no_key", mode: "ok", env: quick("ANTHROPIC_API_KEY", " "), key: "OTHER_KEY", exit: 1, class: "auth", fails: "Not logged in"},
			{name: "as_root", mode: "ok", exit: 1, class: "config", fails: "cannot be used with root"},
			{name: "unknown_option", mode: "ok", env: sandboxed(), config: map[string]any{"extraArgs": []string{"--nosuch"}}, exit: 1, class: "config", fails: "unknown option"},
			{name: "killed", mode: "hang", env: sandboxed(), resume: "third", kill: true, exit: 143, class: "other", fails: "exit status 143", session: true},
			{name: "after_the_kill", mode: "ok", env: sandboxed(), resume: "killed", summary: "STUB turns=4", input: 12, cached: 3, output: 5, session: true},
		},
	}, {
		adapter: "codex_local", path: codex, key: "OPENAI_API_KEY", baseURL: "OPENAI_BASE_URL", suffix: "/v1", arrives: "Bearer ",
		turns: []turn{
			{name: "first", mode: "ok", summary: "STUB turns=1", input: 8, cached: 3, output: 7, session: true},
			{name: "second", mode: "ok", resume: "first", summary: "STUB turns=2", input: 8, cached: 3, output: 7, session: true},
			{name: "third", mode: "ok", resume: "second", summary: "STUB turns=3", input: 8, cached: 3, output: 7, session: true,
				config: map[string]any{"modelReasoningEffort": "low", "fastMode": true, "search": true, "extraArgs": []string{"-c", "hide_agent_reasoning=true"}}},
			{name: "other_model", mode: "ok", resume: "first", config: map[string]any{"model": "gpt-5-codex"}, summary: "STUB turns=1", input: 8, cached: 3, output: 7, session: true},
			{name: "instructions", mode: "ok", config: map[string]any{"instructionsFilePath": "AGENTS.md"}, summary: "STUB turns=1", input: 8, cached: 3, output: 7, session: true},
			{name: "codex_key", mode: "ok", key: "CODEX_API_KEY", summary: "STUB turns=1", input: 8, cached: 3, output: 7, session: true},
			{name: "tool", mode: "tool", summary: "STUB turns=1", input: 16, cached: 6, output: 14, session: true},
			{name: "own_sandbox", mode: "tool", config: map[string]any{"dangerouslyBypassApprovalsAndSandbox": false}, summary: "STUB turns=1", input: 16, cached: 6, output: 14, session: true},
			{name: "empty", mode: "empty", class: "other", fails: "codex ended without a message", input: 8, cached: 3, output: 7},
			{name: "status_400", mode: "400", exit: 1, class: "other", fails: "the stub answers 400"},
			{name: "status_401", mode: "401", exit: 1, class: "auth", fails: "401 Unauthorized"},
			{name: "status_404", mode: "404", exit: 1, class: "config", fails: "404 Not Found"},
			{name: "status_429", mode: "429", exit: 1, class: "rate_limit", fails: "429"},
			{name: "status_500", mode: "500", exit: 1, class: "overloaded", fails: "high demand"},
			{name: "status_503", mode: "503", exit: 1, class: "overloaded", fails: "503"},
			{name: "resumed_401", mode: "401", resume: "third", exit: 1, class: "auth", fails: "401", session: true},
			{name: "cut", mode: "cut", exit: 1, class: "overloaded", fails: "stream disconnected"},
			{name: "refused", kill: true, class: "network", fails: "was not reached"},
			{name: "unknown_session", mode: "ok", resume: "none", exit: 1, class: "session", fails: "does not know the session"},
			{name: "no_key", mode: "ok", env: map[string]string{"OPENAI_API_KEY": " "}, key: "OTHER_KEY", exit: 1, class: "auth", fails: "Missing environment variable"},
			{name: "unknown_option", mode: "ok", config: map[string]any{"extraArgs": []string{"--nosuch"}}, exit: 2, class: "config", fails: "unexpected argument"},
			{name: "killed", mode: "hang", resume: "third", kill: true, class: "other", fails: "signal 15", session: true},
			{name: "after_the_kill", mode: "ok", resume: "killed", summary: "STUB turns=4", input: 8, cached: 3, output: 7, session: true},
		},
	}}
}

// TestAdapters runs the real tools as their adapters plan it, against a stub of
// the model API, and holds what the adapters make of the output against what
// happened. With -record it also renews the recordings in the plugins' testdata,
// which their tests use without the tools; an empty file is a recording to come.
func TestAdapters(t *testing.T) {
	modules, inside := os.LookupEnv(apartVar)
	if !inside {
		apart(t, installTools(t)) // which needs a network, and sees who owns files
		return
	}
	must(t, loopbackUp())
	bin := testbin.Build(t)
	for _, tool := range tools() {
		t.Run(tool.adapter, func(t *testing.T) {
			stub := &modelstub.Server{}
			server := httptest.NewServer(stub)
			t.Cleanup(server.Close)
			b := &bench{tool: tool, command: filepath.Join(modules, tool.path), stub: stub, address: server.Listener.Addr().String(), dir: shortDir(t),
				client: startPlugin(t, filepath.Join(bin.Plugins, tool.adapter)), ended: map[string]*adapterpb.Session{}}
			must(t, os.Mkdir(filepath.Join(b.dir, "home"), 0o700))
			must(t, os.Mkdir(filepath.Join(b.dir, "work"), 0o755))
			must(t, os.WriteFile(filepath.Join(b.dir, "AGENTS.md"), []byte("INSTRUCTIONS-OF-THE-TEST\n"), 0o644))
			for _, turn := range tool.turns {
				t.Run(turn.name, func(t *testing.T) { b.run(t, &turn) })
			}
			if found := leaks(t, filepath.Join(b.dir, "home"), madeUpKey); found != nil {
				t.Errorf("the key is in %v", found)
			}
		})
	}
}

// bench is one agent with its tool and what its runs ended with.
type bench struct {
	tool
	command string
	stub    *modelstub.Server
	address string
	dir     string // has home and work
	client  adapterpb.AdapterClient
	ended   map[string]*adapterpb.Session
}

const madeUpKey = "sk-made-up-0123456789"

func (b *bench) run(t *testing.T, u *turn) {
	request := b.request(t, u)
	reply, err := b.client.Plan(context.Background(), request)
	must(t, err)
	if len(reply.GetProblems()) > 0 {
		t.Fatal(reply.GetProblems())
	}
	kill := b.stub.Arrived()
	switch {
	case !u.kill:
		kill = nil
	case u.mode == "": // nobody is there to notice
		soon, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		kill = soon.Done()
	}
	before := len(b.stub.Requests())
	secret := request.SecretNames[0]
	output, exit := carryOut(t, reply.GetPlan(), filepath.Join(b.dir, "home"), map[string]string{secret: madeUpKey}, kill)
	if u.kill && u.mode == "" {
		exit.Reason = "timed out: as the launcher says it"
	}
	outcome, progress := observe(t, b.client, &adapterpb.ObserveStart{Config: request.Config, Session: request.Session, Carry: reply.GetPlan().GetCarry()}, output, exit)
	b.ended[u.name] = outcome.GetSession()
	b.compare(t, u, outcome, exit)
	b.checkRequests(t, u, b.stub.Requests()[before:])
	if t.Failed() {
		t.Logf("argv %q\n%s\noutcome %v\nprogress %q", reply.GetPlan().GetArgv(), output, outcome, progress)
	}
	if *recording {
		b.save(t, u.name, output)
	}
}

func (b *bench) request(t *testing.T, u *turn) *adapterpb.PlanRequest {
	config := map[string]any{"command": b.command, "cwd": filepath.Join(b.dir, "work"), "promptTemplate": "Say hello to {{agentName}} for {{task}}."}
	for name, value := range u.config {
		if name == "instructionsFilePath" {
			value = filepath.Join(b.dir, value.(string))
		}
		config[name] = value
	}
	data, err := json.Marshal(config)
	must(t, err)
	url := "http://127.0.0.1:1"
	if u.mode != "" {
		url = "http://" + b.address + "/" + u.mode
	}
	env := map[string]string{b.baseURL: url + b.suffix}
	for name, value := range u.env {
		env[name] = value
	}
	key := u.key
	if key == "" {
		key = b.key
	}
	session := b.ended[u.resume]
	if u.resume == "none" {
		first := b.ended["first"]
		session = &adapterpb.Session{Id: "00000000-0000-4000-8000-000000000000", State: first.GetState()}
	}
	return &adapterpb.PlanRequest{AgentId: "a", AgentName: "Ada", CompanyId: "c", RunId: "r", Trigger: "wake", Task: "task 7",
		Config: data, Env: env, SecretNames: []string{key}, Session: session}
}

func (b *bench) compare(t *testing.T, u *turn, o *adapterpb.Outcome, exit *adapterpb.Exit) {
	if int(exit.GetCode()) != u.exit {
		t.Errorf("exit %v, want %d", exit, u.exit)
	}
	got := fmt.Sprint(o.GetSummary(), "|", o.GetErrorClass(), "|", o.GetUsage().GetInputTokens(), o.GetUsage().GetCachedInputTokens(), o.GetUsage().GetOutputTokens(), o.GetSession() != nil)
	want := fmt.Sprint(u.summary, "|", u.class, "|", u.input, u.cached, u.output, u.session)
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !strings.Contains(o.GetError(), u.fails) || (u.fails == "") != (o.GetError() == "") {
		t.Errorf("error %q, want %q", o.GetError(), u.fails)
	}
	// A run of the stub costs less than a tenth of a cent, a session of four more.
	if cost := o.GetCostUsd(); (cost > 0) != (b.cost && u.output > 0) || cost > 0.0004 {
		t.Errorf("cost %v", cost)
	}
}

func (b *bench) checkRequests(t *testing.T, u *turn, requests []modelstub.Request) {
	for _, r := range requests {
		want := b.arrives + madeUpKey
		if u.key == "ANTHROPIC_AUTH_TOKEN" {
			want = "Bearer " + madeUpKey
		}
		if r.Key != want {
			t.Errorf("the key arrives as %q", r.Key)
		}
		if u.name == "instructions" && !strings.Contains(r.Body, "INSTRUCTIONS-OF-THE-TEST") {
			t.Error("the instructions do not arrive")
		}
		if !strings.Contains(r.Body, "Say hello to Ada for task 7.") {
			t.Error("the prompt does not arrive")
		}
	}
	if limit := 9; len(requests) > limit {
		t.Errorf("%d requests", len(requests))
	}
}

// save writes a recording that names no place of this machine.
func (b *bench) save(t *testing.T, name string, output []byte) {
	text := strings.ReplaceAll(string(output), b.dir, "/srv/agent")
	text = strings.ReplaceAll(text, b.address, "127.0.0.1:8080")
	text = strings.ReplaceAll(text, strings.ReplaceAll(b.dir, "/", "-"), "-srv-agent")
	text = regexp.MustCompile(`/tmp/al-e2e-[0-9]+`).ReplaceAllString(text, "/tmp/run")
	path := filepath.Join("..", "..", "plugins", b.adapter, "testdata", name+".out")
	if _, err := os.Stat(path); err == nil { // not all are worth it
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
}
