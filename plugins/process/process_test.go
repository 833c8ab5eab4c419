package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// TestConfig runs every configuration through Plan and through the schema: the
// two must agree. problems are the fields that Plan names.
func TestConfig(t *testing.T) {
	schema := compile(t)
	for _, test := range []struct {
		config   string
		problems []string
		loose    bool // the schema cannot tell
	}{
		{config: `{"command":"/bin/sh","args":["-c","x y"],"cwd":"/srv"}`},
		{config: `{"command":"node","cwd":"/srv","args":[]}`},
		{config: `{"command":"/opt/my agent/run","cwd":"/"}`},
		{config: `{"command":"","cwd":"/"}`, problems: []string{"command"}},
		{config: `{"cwd":"/"}`, problems: []string{"command"}},
		{config: `{"command":"./x","cwd":"/"}`, problems: []string{"command"}},
		{config: `{"command":"bin/x","cwd":"/"}`, problems: []string{"command"}},
		{config: `{"command":"echo hi","cwd":"/"}`, problems: []string{"command"}, loose: true},
		{config: `{"command":"x"}`, problems: []string{"cwd"}},
		{config: `{"command":"x","cwd":"work"}`, problems: []string{"cwd"}},
		{config: `{"command":7,"cwd":"/"}`, problems: []string{"command"}},
		{config: `{"command":"x","cwd":"/","args":"a b"}`, problems: []string{"args"}},
		{config: `{"command":"x","cwd":"/","args":["a",null]}`, problems: []string{"args[1]"}},
		{config: `{"command":"x","cwd":"/","args":["a\u0000"]}`, problems: []string{"args[0]"}, loose: true},
		{config: `{"command":"x","cwd":"/","Args":[],"shell":true}`, problems: []string{"Args", "shell"}},
		{config: `{}`, problems: []string{"command", "cwd"}},
		{config: `[]`, problems: []string{""}},
		{config: `null`, problems: []string{""}},
	} {
		_, err := process{}.Plan(context.Background(), adapter.PlanRequest{Config: json.RawMessage(test.config)})
		if got := fields(err); !slices.Equal(got, test.problems) {
			t.Errorf("%s: problems %v, want %v: %v", test.config, got, test.problems, err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(test.config)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); (err == nil) != (len(test.problems) == 0 || test.loose) {
			t.Errorf("%s: schema says %v", test.config, err)
		}
	}
}

func TestPlanPassesThingsThrough(t *testing.T) {
	env := map[string]string{"A": "1"}
	plan, err := process{}.Plan(context.Background(), adapter.PlanRequest{
		Config: json.RawMessage(`{"command":"x","args":["$A","*"," "],"cwd":"/w"}`), Env: env, SecretNames: []string{"TOKEN"}})
	if err != nil || !slices.Equal(plan.Argv, []string{"x", "$A", "*", " "}) || plan.Dir != "/w" || plan.Env["A"] != "1" || len(plan.Env) != 1 {
		t.Errorf("%+v %v", plan, err)
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	d, err := process{}.Describe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(d.Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("process.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("process.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// fields lists where the problems of err are.
func fields(err error) []string {
	var p *adapter.Problem
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []string
		for _, e := range joined.Unwrap() {
			out = append(out, fields(e)...)
		}
		return out
	}
	if errors.As(err, &p) {
		return []string{p.Field}
	}
	return nil
}
