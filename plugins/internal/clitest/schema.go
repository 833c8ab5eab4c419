// Package clitest has the tests that the adapters of command-line tools share.
package clitest

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// Schema holds a schema and the adapter's code against each other: both must take
// each configuration, or both refuse it. key is the name of the agent's secret.
func Schema(t *testing.T, a adapter.Adapter, schema []byte, key string, configs map[string]bool) {
	t.Helper()
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
	for config, good := range configs {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(config))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiled.Validate(value); (err == nil) != good {
			t.Errorf("%s: the schema says %v", config, err)
		}
		if _, err := a.Plan(context.Background(), adapter.PlanRequest{Config: json.RawMessage(config), SecretNames: []string{key}}); (err == nil) != good {
			t.Errorf("%s: Plan says %v", config, err)
		}
	}
	for name, property := range doc.(map[string]any)["properties"].(map[string]any) {
		if property.(map[string]any)["description"] == nil {
			t.Errorf("%s has no description", name)
		}
	}
}
