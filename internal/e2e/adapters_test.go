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
	outcome, progress := observe(t, b.client, &adapterpb.ObserveStart{Session: request.Session, Carry: reply.GetPlan().GetCarry()}, output, exit)
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
