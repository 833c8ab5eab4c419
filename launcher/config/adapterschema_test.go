package config

import (
	"os"
	"strings"
	"testing"
)

const adapterSchema = `{"type": "object", "additionalProperties": false, "required": ["command", "cwd"], "properties": {
  "command": {"type": "string", "pattern": "^/"}, "cwd": {"type": "string"}, "args": {"type": "array", "maxItems": 2, "items": {"type": "string"}},
  "model": {"enum": ["small", "large"]}, "n": {"type": "integer", "minimum": 1, "maximum": 2.5}, "s": {"minLength": 3, "maxLength": 4},
  "either": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}, "even": {"multipleOf": 2}, "no": false, "kind": {"const": "x"},
  "nested": {"allOf": [{"properties": {"a.b": {"type": "boolean"}}}]}, "big": {"const": 12345678901234567890}}}`

func TestValidateAdapterConfig(t *testing.T) {
	for _, c := range []struct {
		name, config string
		want         []want
	}{
		{"fine", `{"command": "/x", "cwd": "/", "args": ["a"], "either": ["b"], "n": 2, "env": {"A": "b"}, "timeoutSec": 1, "big": 12345678901234567890}`, nil},
		{"missing", `§§{}`, []want{{".command", "is missing"}, {".cwd", "is missing"}}},
		{"unknown", `{"command": "/x", "cwd": "/", "comand": §"y", "timeoutsec": §1, "zzzz": §1}`, []want{
			{".comand", "did you mean command?"}, {".timeoutsec", "did you mean timeoutSec?"}, {".zzzz", `unknown key "zzzz"`}}},
		{"types", "{\"command\": §1, \"cwd\": §{},\n\"args\": [\"a\", §2]}", []want{
			{".command", "must be of type string, got a number"}, {".cwd", "got an object"}, {".args[1]", "got a number"}}},
		{"values", `{"command": §"hunter2", "cwd": "/", "model": §"hunter2", "n": §0, "s": §"hunter2", "args": §["hunter2", "b", "c"]}`, []want{
			{".command", "must match ^/"}, {".model", `must be one of "small", "large"`}, {".n", "must be at least 1"},
			{".s", "at most 4 characters, got 7"}, {".args", "at most 2 items, got 3"}}},
		{"more values", `{"command": "/x", "cwd": "/", "n": §3, "s": §"h", "either": §7, "even": §3, "no": §"hunter2", "kind": §"hunter2", "nested": {"a.b": §"hunter2"}}`, []want{
			{".n", "must be at most 2.5"}, {".s", "at least 3 characters, got 1"}, {".either", "none of the forms"}, {".even", `must keep to "multipleOf" of the adapter's schema`},
			{".no", "is not allowed here"}, {".kind", `must be "x"`}, {`.nested["a.b"]`, "must be of type boolean"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := head + "\n\"adapterConfig\": " + strings.ReplaceAll(c.config, ``, "") + "}"
			if c.name == "more values" { // multipleOf says nothing of strings
				text = strings.Replace(text, `"even": §3`, `"even": §3`, 1)
			}
			a, err := LoadAgent(write(t, "a.json", text))
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.want {
				c.want[i].path = "$.adapterConfig" + c.want[i].path
			}
			ps := ValidateAdapterConfig(a, []byte(adapterSchema))
			compare(t, text, ps, c.want)
			if strings.Contains(ps.Error(), "hunter2") {
				t.Errorf("a value is quoted: %v", ps)
			}
		})
	}
}

// format is checked where the draft says so.
func TestFormat(t *testing.T) {
	text := head + `"adapterConfig": {"ip": §"hunter2"}}`
	a, err := LoadAgent(write(t, "a.json", text))
	if err != nil {
		t.Fatal(err)
	}
	schema := `{"$schema": "http://json-schema.org/draft-07/schema#", "properties": {"ip": {"format": "ipv4"}}}`
	compare(t, text, ValidateAdapterConfig(a, []byte(schema)), []want{{"$.adapterConfig.ip", "must be a valid ipv4"}})
}

// A plugin's schema is a program's answer: it may be anything.
func TestUnusableSchema(t *testing.T) {
	a, err := LoadAgent(write(t, "a.json", head+`"adapterConfig": {}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "{", "[]", `{"type": 1}`, `{"$ref": "file:///etc/passwd"}`, `{"$ref": "https://example.com/s"}`, `{"$ref": "#/nothing"}`, `{"properties": {"a": {"pattern": "("}}}`} {
		ps := ValidateAdapterConfig(a, []byte(bad))
		if len(ps) != 1 || ps[0].Path != "$.adapterType" || ps[0].Col != 48 || strings.ContainsAny(ps[0].Message, "\n") || strings.Contains(ps[0].Message, "root:") {
			t.Errorf("schema %s: %v", bad, ps)
		}
	}
}

// The file may change between the reading of the agent and its validation.
func TestValidateAfterAnEdit(t *testing.T) {
	a, err := LoadAgent(write(t, "a.json", head+`"adapterConfig": {"command": 1, "x": {"y": 2}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"{}", `{"adapterConfig": null}`, `{"adapterConfig": {"x": []}}`, "[", ""} {
		if err := os.WriteFile(a.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if ps := ValidateAdapterConfig(a, []byte(adapterSchema)); len(ps) == 0 {
			t.Errorf("%s: no problem", text)
		}
	}
}
