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

// Whatever keyword a value breaks: the problem names the place and what the
// schema wants, and quotes neither the value nor a key that looks like one.
func TestFindingsQuoteNothing(t *testing.T) {
	const value, key = "/hunter2/work", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
	for _, c := range []struct{ schema, field string }{
		{`{"pattern": "^[0-9]+$"}`, ""}, {`{"enum": ["a", "b"]}`, ""}, {`{"const": "a"}`, ""}, {`{"type": "integer"}`, ""},
		{`{"minLength": 99}`, ""}, {`{"maxLength": 1}`, ""}, {`{"format": "ipv4"}`, ""}, {`{"format": "uri"}`, ""}, {`{"format": "regex"}`, `"(/hunter2/work"`},
		{`{"not": {"type": "string"}}`, ""}, {`{"oneOf": [{"type": "string"}, {"minLength": 1}]}`, ""}, {`{"anyOf": [{"type": "number"}]}`, ""},
		{`{"allOf": [{"const": 1}, {"pattern": "^x"}]}`, ""}, {`{"if": {"type": "string"}, "then": {"const": 1}}`, ""}, {`false`, ""}, {`{"$ref": "#/properties/n"}`, ""},
		{`{"contentEncoding": "base64"}`, ""}, {`{"contentMediaType": "application/json"}`, ""},
		{`{"minimum": 1e9}`, `31337123`}, {`{"maximum": 1}`, `31337123`}, {`{"multipleOf": 2}`, `31337123`},
		{`{"items": {"const": 1}}`, `["/hunter2/work"]`}, {`{"uniqueItems": true}`, `["/hunter2/work", "/hunter2/work"]`}, {`{"contains": {"const": 1}}`, `["/hunter2/work"]`},
		{`{"minItems": 3}`, `["/hunter2/work"]`}, {`{"prefixItems": [true], "items": false}`, `["", "/hunter2/work"]`},
		{`{"additionalProperties": false}`, `{"` + key + `": "/hunter2/work"}`}, {`{"additionalProperties": {"const": 1}}`, `{"` + key + `": "/hunter2/work"}`},
		{`{"unevaluatedProperties": false}`, `{"` + key + `": 1}`}, {`{"propertyNames": {"maxLength": 3}}`, `{"` + key + `": 1}`}, {`{"propertyNames": {"pattern": "^x"}}`, `{"` + key + `": 1}`},
		{`{"patternProperties": {"^ghp": {"type": "null"}}}`, `{"` + key + `": "/hunter2/work"}`}, {`{"maxProperties": 0}`, `{"` + key + `": 1}`},
		{`{"required": ["a"]}`, `{"` + key + `": 1}`}, {`{"dependentSchemas": {"` + key + `": false}}`, `{"` + key + `": 1}`}, {`{"additionalProperties": {"required": ["a"]}}`, `{"` + key + `": {}}`},
	} {
		field := c.field
		if field == "" {
			field = `"` + value + `"`
		}
		a, err := LoadAgent(write(t, "a.json", head+`"adapterConfig": {"cwd": `+field+`}}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, draft := range []string{"2020-12/schema", "2019-09/schema"} {
			schema := `{"$schema": "https://json-schema.org/draft/` + draft + `", "properties": {"cwd": ` + c.schema + `, "n": {"type": "number"}}}`
			ps := ValidateAdapterConfig(a, []byte(schema))
			if len(ps) == 0 && !strings.Contains(c.schema, "format") && !strings.Contains(c.schema, "content") && !strings.Contains(c.schema, "prefixItems") { // annotations, in some drafts
				t.Errorf("%s: no problem", c.schema)
			}
			for _, p := range ps {
				text := p.Error() + p.Hint
				if text = strings.TrimPrefix(text, a.File); strings.Contains(text, "hunter2") || strings.Contains(text, "31337") || strings.Contains(text, key[:12]) || !strings.HasPrefix(p.Path, "$.adapterConfig.cwd") {
					t.Errorf("%s: %v", c.schema, p)
				}
			}
		}
	}
}

func TestRandomLooking(t *testing.T) {
	for key, want := range map[string]bool{
		"command": false, "maxConcurrentRunsPerAgent": false, "ANTHROPIC_API_KEY": false, "AWS_S3_EC2_K8S_URL": false, "dangerouslyBypassApprovalsAndSandbox": false, "a1b2": false,
		"VERY_LONG_NAME_OF_A_VARIABLE_FOR_GPT_4_AND_5": false, "OAUTH2_CLIENT_ID": false,
		"ghp_16C7e42F292c6912E7710c838347Ae178B4a": true, "d41d8cd98f00b204e9800998ecf8427e": true, "Zk3xQ9vTb2Lm8RwY": true, "sk-ant-api03-R2D2x9Zq7LmPw": true,
	} {
		if randomLooking(key) != want {
			t.Errorf("%s: %v", key, !want)
		}
	}
}
