package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// TestSchema: schema and code refuse the same.
func TestSchema(t *testing.T) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for config, good := range map[string]bool{
		`{"cwd":"/w"}`: true,
		`{"cwd":"/w","command":"/codex","model":"m","modelReasoningEffort":"low","promptTemplate":"","instructionsFilePath":"/i","search":true,"fastMode":false,"dangerouslyBypassApprovalsAndSandbox":true,"extraArgs":[],"maxRunSec":604800}`: true,
		`{}`:                           false,
		`{"cwd":"w"}`:                  false,
		`{"cwd":"/w","command":"./x"}`: false,
		`{"cwd":"/w","model":7}`:       false,
		`{"cwd":"/w","modelReasoningEffort":"HIGH"}`:            false,
		`{"cwd":"/w","promptTemplate":[]}`:                      false,
		`{"cwd":"/w","instructionsFilePath":"i.md"}`:            false,
		`{"cwd":"/w","search":"yes"}`:                           false,
		`{"cwd":"/w","fastMode":0}`:                             false,
		`{"cwd":"/w","dangerouslyBypassApprovalsAndSandbox":1}`: false,
		`{"cwd":"/w","extraArgs":"a"}`:                          false,
		`{"cwd":"/w","extraArgs":[1]}`:                          false,
		`{"cwd":"/w","maxRunSec":-1}`:                           false,
		`{"cwd":"/w","maxTurnsPerRun":1}`:                       false,
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(config))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(value); (err == nil) != good {
			t.Errorf("%s: the schema says %v", config, err)
		}
		_, err = codex{}.Plan(context.Background(), adapter.PlanRequest{Config: json.RawMessage(config), SecretNames: []string{"OPENAI_API_KEY"}})
		if (err == nil) != good {
			t.Errorf("%s: Plan says %v", config, err)
		}
	}
	for name, property := range doc.(map[string]any)["properties"].(map[string]any) {
		if property.(map[string]any)["description"] == nil {
			t.Errorf("%s has no description", name)
		}
	}
}
