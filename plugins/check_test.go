package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// TestPlanRules sends plans through a real plugin. Each is the good one with
// one change; want is the field that is refused, "" for none.
func TestPlanRules(t *testing.T) {
	h := newHost(t)
	env := func(name, value string) func(*adapter.Plan) {
		return func(p *adapter.Plan) { p.Env[name] = value }
	}
	for _, test := range []struct {
		name   string
		change func(*adapter.Plan)
		want   string
	}{
		{"good", func(*adapter.Plan) {}, ""},
		{"name without a slash", func(p *adapter.Plan) { p.Argv[0] = "node" }, ""},
		{"empty argument", func(p *adapter.Plan) { p.Argv[1] = "" }, ""},
		{"loader variable as configured", env("LD_PRELOAD", "/lib/x.so"), ""},
		{"no argv", func(p *adapter.Plan) { p.Argv = nil }, "argv"},
		{"empty program", func(p *adapter.Plan) { p.Argv[0] = "" }, "argv[0]"},
		{"relative program", func(p *adapter.Plan) { p.Argv[0] = "bin/x" }, "argv[0]"},
		{"NUL in argument", func(p *adapter.Plan) { p.Argv[1] = "a\x00b" }, "argv[1]"},
		{"no dir", func(p *adapter.Plan) { p.Dir = "" }, "dir"},
		{"relative dir", func(p *adapter.Plan) { p.Dir = "work" }, "dir"},
		{"NUL in dir", func(p *adapter.Plan) { p.Dir = "/a\x00" }, "dir"},
		{"bad name", env("A-B", ""), "env.A-B"},
		{"empty name", env("", "x"), "env."},
		{"name with =", env("A=B", ""), "env.A=B"},
		{"NUL in value", env("A", "1\x00B=2"), "env.A"},
		{"reserved", env("PAPERCLIP_API_KEY", "x"), "env.PAPERCLIP_API_KEY"},
		{"loader variable", env("NODE_OPTIONS", "--require=/tmp/x"), "env.NODE_OPTIONS"},
		{"loader variable changed", env("LD_PRELOAD", "/tmp/x.so"), "env.LD_PRELOAD"},
		{"secret's name", env("TOKEN", "mine"), "env.TOKEN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := adapter.Plan{Argv: []string{"/bin/x", "a"}, Dir: "/", Env: map[string]string{"A": "1"}, Stdin: []byte("\x00\xff")}
			test.change(&plan)
			config, err := json.Marshal(map[string]any{"do": "answer", "plan": plan})
			if err != nil {
				t.Fatal(err)
			}
			_, err = h.Plan(context.Background(), "obey", adapter.PlanRequest{Config: config,
				Env: map[string]string{"LD_PRELOAD": "/lib/x.so"}, SecretNames: []string{"TOKEN"}})
			var e *Error
			switch {
			case test.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case test.want != "" && (!errors.As(err, &e) || e.Kind != KindAnswer || e.Field != test.want || e.Plugin != "obey"):
				t.Errorf("want %s refused: %v", test.want, err)
			}
		})
	}
}

func TestPlanSizeCountsEmptyStrings(t *testing.T) {
	plan := &adapterpb.Plan{Argv: make([]string, 1<<20), Dir: "/"}
	if _, err := readPlan("x", &adapter.PlanRequest{}, &adapterpb.PlanResponse{Plan: plan}); err == nil {
		t.Error("accepted")
	}
	if _, err := readPlan("x", &adapter.PlanRequest{}, &adapterpb.PlanResponse{}); err == nil {
		t.Error("no plan is accepted")
	}
	if _, err := readPlan("x", &adapter.PlanRequest{}, nil); err == nil {
		t.Error("nothing at all is accepted")
	}
}

func TestManyProblemsAreCut(t *testing.T) {
	reply := &adapterpb.PlanResponse{Plan: &adapterpb.Plan{Argv: []string{"x"}, Dir: "/"}}
	for range 1000 {
		reply.Problems = append(reply.Problems, &adapterpb.Problem{Message: strings.Repeat("m", 1<<16)})
	}
	_, err := readPlan("x", &adapter.PlanRequest{}, reply)
	if err == nil || len(err.Error()) > maxProblems*2*maxMessage {
		t.Errorf("%d bytes of error", len(err.Error()))
	}
}

func TestDescriptionRules(t *testing.T) {
	for name, d := range map[string]*adapterpb.DescribeResponse{
		"type":      {Type: "other", Schema: []byte(`{}`)},
		"no schema": {Type: "mine"},
		"array":     {Type: "mine", Schema: []byte(`[]`)},
		"null":      {Type: "mine", Schema: []byte(`null`)},
		"problem":   {Type: "mine", Schema: []byte(`{}`), Problems: []*adapterpb.Problem{{}}},
		"nothing":   nil,
	} {
		if got, err := readDescription("mine", d); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
	h := newHost(t)
	if d, err := h.Describe(context.Background(), "obey"); err != nil || d.Version != "1 [0m" {
		t.Errorf("%+v %v", d, err)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		" plain ":           "plain",
		"a\nb\x1b[2Jc\x00d": "a b [2Jc d",
		"a\u202eb\xffc":     "a b?c",
		"1234567890123":     "123456789012 ...",
	} {
		if got := clean(in, 12); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
