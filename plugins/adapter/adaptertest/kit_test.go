package adaptertest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// fake is an adapter that a table can break in one place.
type fake struct {
	describe func(*adapter.Description)
	plan     func(context.Context, adapter.PlanRequest, *adapter.Plan) error
}

func (f fake) Describe(context.Context) (adapter.Description, error) {
	d := adapter.Description{Type: "fake", Version: "1", Schema: json.RawMessage(`{"properties":{"model":{"type":"string"}}}`)}
	if f.describe != nil {
		f.describe(&d)
	}
	return d, nil
}

func (f fake) Plan(ctx context.Context, r adapter.PlanRequest) (adapter.Plan, error) {
	p := adapter.Plan{Argv: []string{"agent"}, Dir: "/", Env: r.Env}
	var config struct{ Model *string }
	if err := json.Unmarshal(r.Config, &config); err != nil || config.Model == nil {
		return p, &adapter.Problem{Field: "model", Message: "is missing"}
	}
	if f.plan != nil {
		return p, f.plan(ctx, r, &p)
	}
	return p, nil
}

// tester has a TestEnvironment.
type tester struct {
	fake
	level adapter.Level
}

func (e tester) TestEnvironment(context.Context, adapter.EnvironmentRequest) ([]adapter.Check, error) {
	return []adapter.Check{{Level: e.level, Message: "m"}}, nil
}

func TestKitFindsFaults(t *testing.T) {
	quietPanics(t)
	good := Case{Config: `{"model":"x"}`, Env: map[string]string{"A": "1"}, Secrets: []string{"TOKEN"}}
	var calls atomic.Int64
	describe := func(change func(*adapter.Description)) adapter.Adapter { return fake{describe: change} }
	plan := func(change func(*adapter.Plan)) adapter.Adapter {
		return fake{plan: func(_ context.Context, _ adapter.PlanRequest, p *adapter.Plan) error { change(p); return nil }}
	}
	for _, c := range []struct {
		a    adapter.Adapter
		more Case // beside good
		want string
	}{
		{fake{}, Case{Config: `{}`, Problems: []string{"model"}}, ""},
		{tester{level: adapter.LevelInfo}, good, ""},
		{tester{level: "fatal"}, good, `a check of level "fatal"`},
		{fake{}, Case{Config: `{}`}, `problems of ["model"], want []`},
		{fake{}, Case{Config: `{"model":"x"}`, Problems: []string{"model"}}, `problems of [], want ["model"]`},
		{fake{}, Case{Config: `{"model":"x"}`, Plan: &adapter.Plan{Argv: []string{"other"}, Dir: "/"}}, "want argv"},
		{describe(func(d *adapter.Description) { d.Type = "Fake" }), good, `type "Fake" does not match`},
		{describe(func(d *adapter.Description) { d.Version = "" }), good, "version is empty"},
		{describe(func(d *adapter.Description) { d.Schema = nil }), good, "schema is no JSON Schema object"},
		{describe(func(d *adapter.Description) { d.Schema = []byte(`true`) }), good, "schema is no JSON Schema object: it is a bool"},
		{describe(func(d *adapter.Description) { d.Schema = []byte(`{"$ref":"file:///etc/passwd"}`) }), good, "schema is no JSON Schema object"},
		{describe(func(d *adapter.Description) { d.Schema = []byte(`{"required":["x"]}`) }), good, "its own schema refuses it"},
		{plan(func(p *adapter.Plan) { p.Argv = nil }), good, "argv is empty"},
		{plan(func(p *adapter.Plan) { p.Argv[0] = "./agent" }), good, "argv[0] is a relative path"},
		{plan(func(p *adapter.Plan) { p.Argv = append(p.Argv, "--key=${"+secretName+"}") }), good, "holds the name of a secret"},
		{plan(func(p *adapter.Plan) { p.Argv = append(p.Argv, "\x00") }), good, "holds a NUL byte"},
		{plan(func(p *adapter.Plan) { p.Argv = append(p.Argv, "\xff") }), good, "invalid UTF-8"},
		{plan(func(p *adapter.Plan) { p.Dir = "" }), good, "dir is not an absolute path"},
		{plan(func(p *adapter.Plan) { p.Env = map[string]string{"TOKEN": ""} }), good, "a secret of the agent"},
		{plan(func(p *adapter.Plan) { p.Env = map[string]string{"PAPERCLIP_X": ""} }), good, "reserved"},
		{plan(func(p *adapter.Plan) { p.Env = map[string]string{"LD_PRELOAD": ""} }), good, "steers a loader"},
		{plan(func(p *adapter.Plan) { p.Env = map[string]string{"a b": ""} }), good, "a name that is none"},
		{plan(func(p *adapter.Plan) { p.Argv = append(p.Argv, fmt.Sprint(calls.Add(1))) }), good, "one request, two answers"},
		{plan(func(p *adapter.Plan) { p.Needs.Write = []string{"work"} }), good, "needs a path that is not absolute"},
		{plan(func(p *adapter.Plan) { p.Carry = make([]byte, adapter.MaxState+1) }), good, "carry has 65537 bytes"},
		{plan(func(p *adapter.Plan) { p.Timeout = time.Hour }), Case{Config: `{"model":"x"}`, Plan: &adapter.Plan{Argv: []string{"agent"}, Dir: "/"}}, "want argv"},
		{plan(func(p *adapter.Plan) { p.Stdin = make([]byte, adapter.MaxMessageSize) }), good, "a message above 4 MiB"},
		{fake{plan: func(_ context.Context, r adapter.PlanRequest, _ *adapter.Plan) error {
			var config struct{ Model string }
			err := json.Unmarshal(r.Config, &config)
			_ = config.Model[0] // it may be empty
			return err
		}}, good, "Plan did not answer: the adapter panicked"},
		{fake{plan: func(_ context.Context, _ adapter.PlanRequest, _ *adapter.Plan) error { return &adapter.Problem{} }},
			Case{Config: `{"model":"x"}`, Problems: []string{""}}, "problem 0 has no message"},
	} {
		var faults []string
		k := &kit{cases: []Case{good, c.more}}
		k.client, k.end = serve(c.a, patience)
		k.fault = func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
		for _, check := range checks {
			check.do(k)
		}
		all := strings.Join(faults, "\n")
		if (all == "") != (c.want == "") || !strings.Contains(strings.ReplaceAll(all, "  ", " "), c.want) {
			t.Errorf("want %q, got %d faults: %.2000s", c.want, len(faults), all)
		}
	}
}

// TestKitNoticesWhoGoesOn is about a Plan that does not look at its context.
func TestKitNoticesWhoGoesOn(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	defer close(release)
	c, end := serve(fake{plan: func(context.Context, adapter.PlanRequest, *adapter.Plan) error {
		close(entered)
		<-release
		return nil
	}}, time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	good := Case{Config: `{"model":"x"}`}
	go func() { _, err := c.Plan(ctx, good.request()); done <- err }()
	<-entered
	cancel()
	<-done
	if err := end(); err == nil || !strings.Contains(err.Error(), "a call goes on") {
		t.Error(err)
	}
}

// observer is a fake with an Observe that a table can break.
type observer struct {
	fake
	observe func(*adapter.Observation) (adapter.Outcome, error)
}

func (o observer) Observe(_ context.Context, run *adapter.Observation) (adapter.Outcome, error) {
	return o.observe(run)
}

func TestKitFindsFaultsOfObservers(t *testing.T) {
	quietPanics(t)
	outcome := func(o adapter.Outcome) func(*adapter.Observation) (adapter.Outcome, error) {
		return func(run *adapter.Observation) (adapter.Outcome, error) {
			for range run.Lines {
			}
			return o, nil
		}
	}
	output := `{"text":"one","n":1}` + "\n" + `{"text":"two"}` + "\n"
	for _, c := range []struct {
		observe func(*adapter.Observation) (adapter.Outcome, error)
		wanted  *adapter.Outcome
		want    string
	}{
		{outcome(adapter.Outcome{Summary: "x"}), &adapter.Outcome{Summary: "x"}, ""},
		{outcome(adapter.Outcome{Summary: "x"}), &adapter.Outcome{Summary: "y"}, "the outcome is"},
		{outcome(adapter.Outcome{Session: &adapter.Session{ID: "a"}}), &adapter.Outcome{}, "and session a, want"},
		{func(*adapter.Observation) (adapter.Outcome, error) { return adapter.Outcome{}, nil }, nil, ""}, // it need not listen
		{func(*adapter.Observation) (adapter.Outcome, error) { return adapter.Outcome{}, os.ErrClosed }, nil, ""},
		{outcome(adapter.Outcome{Session: &adapter.Session{}}), nil, "a session has no id"},
		{outcome(adapter.Outcome{Session: &adapter.Session{ID: strings.Repeat("x", adapter.MaxSessionID+1)}}), nil, "more than 256 bytes"},
		{outcome(adapter.Outcome{Session: &adapter.Session{ID: "x", State: make([]byte, adapter.MaxState+1)}}), nil, "more than 65536 bytes"},
		{outcome(adapter.Outcome{Usage: adapter.Usage{OutputTokens: -1}}), nil, "usage is negative"},
		{outcome(adapter.Outcome{CostUSD: -1}), nil, "the cost is no amount"},
		{outcome(adapter.Outcome{CostUSD: math.NaN()}), nil, "the cost is no amount"},
		{outcome(adapter.Outcome{CostUSD: math.Inf(1)}), nil, "the cost is no amount"},
		{outcome(adapter.Outcome{Class: adapter.ErrorAuth}), nil, "without an error"},
		{outcome(adapter.Outcome{Error: "x"}), nil, `has the class "", which is none`},
		{outcome(adapter.Outcome{Error: "x", Class: "sad"}), nil, `has the class "sad"`},
		{outcome(adapter.Outcome{Summary: "\xff"}), nil, ""}, // the SDK mends it
		{outcome(adapter.Outcome{Session: &adapter.Session{ID: "\xff"}}), nil, "Observe failed"},
		{func(run *adapter.Observation) (adapter.Outcome, error) {
			run.Progress("two\nlines")
			return adapter.Outcome{}, nil
		}, nil, "progress has several lines"},
		{func(run *adapter.Observation) (adapter.Outcome, error) { // what was the last piece
			last := ""
			for line := range run.Lines {
				var m map[string]any
				if json.Unmarshal(line, &m) == nil {
					last = m["text"].(string)
				}
			}
			return adapter.Outcome{Summary: last}, nil
		}, &adapter.Outcome{Summary: "two"}, "Observe failed: the adapter panicked"},
	} {
		var faults []string
		k := &kit{cases: []Case{{Config: `{"model":"x"}`, Output: output, Want: c.wanted}}, can: []string{adapter.CanObserve}}
		k.client, k.end = serve(observer{observe: c.observe}, patience)
		k.fault = func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
		k.observe()
		k.deadline()
		all := strings.Join(faults, "\n")
		if (all == "") != (c.want == "") || !strings.Contains(all, c.want) {
			t.Errorf("want %q, got %d faults: %.2000s", c.want, len(faults), all)
		}
	}
}

// An observer must be one that the daemon knows of.
func TestKitFindsHiddenObservers(t *testing.T) {
	for _, c := range []struct {
		a    adapter.Adapter
		want bool
	}{{fake{}, false}, {observer{observe: func(*adapter.Observation) (adapter.Outcome, error) { return adapter.Outcome{}, nil }}, true}} {
		found := false
		k := &kit{fault: func(string, ...any) { found = true }}
		k.client, k.end = serve(c.a, patience)
		k.observe()
		if err := k.end(); found != c.want || err != nil {
			t.Errorf("%T: found %v, %v", c.a, found, err)
		}
	}
}

// quietPanics drops the stacks that the server prints.
func quietPanics(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = null
	t.Cleanup(func() { os.Stderr = stderr; _ = null.Close() })
}
