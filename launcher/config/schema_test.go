package config

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The example passes the loader and its schema, and shows every key that there is.
func TestExample(t *testing.T) {
	example, err := os.ReadFile("../../config.example.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(write(t, "config.json", string(example))); err != nil {
		t.Error(err)
	}
	if err := accepts(t, "config", example); err != nil {
		t.Error(err)
	}
	for _, f := range configShape(&Config{}) {
		built := !f.later && f.name != "$schema"
		if strings.Contains(string(example), `"`+f.name+`"`) != built {
			t.Errorf("key %s: in the example, or built: not both", f.name)
		}
	}
}

func TestEveryKeyIsDescribed(t *testing.T) {
	for _, kind := range []string{"config", "adapter"} {
		schema, err := Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(schema, &v); err != nil {
			t.Fatal(err)
		}
		if n := described(t, kind, v); n < 15 {
			t.Errorf("%s: only %d keys", kind, n)
		}
	}
	if _, err := Schema("x"); err == nil {
		t.Error("schema x exists")
	}
}

func described(t *testing.T, path string, v any) (n int) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			n += described(t, path, item)
		}
	case map[string]any:
		properties, _ := v["properties"].(map[string]any)
		for name, p := range properties {
			n++
			if s, _ := p.(map[string]any)["description"].(string); len(s) < 10 || !strings.HasSuffix(s, ".") {
				t.Errorf("%s.%s is described as %q", path, name, s)
			}
		}
		for key, part := range v {
			n += described(t, path+"."+key, part)
		}
	}
	return n
}

// What editors show in red is what the loaders refuse, as far as shape goes.
func TestSchemasRefuse(t *testing.T) {
	if err := accepts(t, "adapter", []byte(pastedRecord)); err != nil {
		t.Error(err)
	}
	good := inEnv(`"A": "x", "B": {"type": "plain", "value": "x"}, "C": {"type": "secret_ref", "secretId": "s", "version": 3}`)
	if err := accepts(t, "adapter", []byte(good)); err != nil {
		t.Error(err)
	}
	for _, text := range []string{
		"{}", head + `"adapterConfig": {}, "adapterTyp": 1}`, head + `"adapterConfig": {}, "sandbox": {"profile": "none"}}`, head + `"adapterConfig": {}, "lifecycle": "servce"}`,
		head + `"adapterConfig": {"timeoutSec": -1}}`, head + `"adapterConfig": {"access.X": {}}}`, `{"id": "..", "companyId": "c", "adapterType": "p", "adapterConfig": {}}`,
		head + `"adapterConfig": {}, "runtimeConfig": {"heartbeat": {"intervalSec": 0.5}}}`, head + `"adapterConfig": {}, "runtimeConfig": {"heartbeat": {"x": 1}}}`,
		inEnv(`"A": 1`), inEnv(`"A-B": "x"`), inEnv(`"PAPERCLIP_X": "x"`), inEnv(`"A": {"type": "plain"}`), inEnv(`"A": {"type": "vault"}`),
		inEnv(`"A": {"type": "secret_ref", "secretId": "s", "version": 0}`), inEnv(`"A": {"type": "secret_ref", "secretId": "s", "value": "x"}`),
	} {
		if accepts(t, "adapter", []byte(text)) == nil {
			t.Errorf("the schema accepts %s", text)
		}
		if _, err := LoadAgent(write(t, "a.json", text)); err == nil {
			t.Errorf("LoadAgent accepts %s", text)
		}
	}
	for _, more := range []string{`"x": 1`, `"uidRange": [0, 2]`, `"uidRange": [7]`, `"uidRange": [7, 4294967294]`, `"keeperSocket": ""`, `"heartbeat": {"intervalSec": 0}`, `"heartbeat": {"jitter": "0"}`, `"stateDir": ""`, `"stateDir": null`} {
		text := "{" + plane + `, "hostKeyFile": "k", ` + more + "}"
		if accepts(t, "config", []byte(text)) == nil {
			t.Errorf("the schema accepts %s", more)
		}
		if _, err := Load(write(t, "config.json", text)); err == nil {
			t.Errorf("Load accepts %s", more)
		}
	}
	text := "{" + plane + "}"
	if accepts(t, "config", []byte(text)) == nil {
		t.Error("the schema accepts a config without hostKeyFile and keeperSocket")
	}
}

// accepts returns what the schema has against a file.
func accepts(t *testing.T, kind string, data []byte) error {
	t.Helper()
	schema, err := Schema(kind)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := compile(schema)
	if err != nil {
		t.Fatalf("schema %s: %v", kind, err)
	}
	return validate(compiled, data)
}
