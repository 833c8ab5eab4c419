package config

import (
	"encoding/json"
	"fmt"
	"maps"
)

// Schema is the JSON Schema (draft 2020-12) of "config" or "adapter", for
// editors. It accepts whatever Load or LoadAgent accept; they refuse more, such
// as a URL with a password.
func Schema(kind string) ([]byte, error) {
	var s map[string]any
	switch kind {
	case "config":
		s = objectSchema(configShape(&Config{}), false, false)
		s["anyOf"] = []any{map[string]any{"required": []string{"hostKeyFile"}}, map[string]any{"required": []string{"keeperSocket"}}}
	case "adapter":
		s = objectSchema(agentShape(newReading(&Agent{})), false, true)
	default:
		return nil, fmt.Errorf("no schema %q: config or adapter", kind)
	}
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "agent-launcher " + kind
	return json.MarshalIndent(s, "", "  ")
}

func objectSchema(fields []field, open, null bool) map[string]any {
	properties, required := map[string]any{}, []string{}
	for _, f := range fields {
		properties[f.name] = fieldSchema(f, null)
		if f.required {
			required = append(required, f.name)
		}
	}
	s := map[string]any{"type": "object"}
	if len(properties) > 0 {
		s["properties"] = properties
	}
	if !open {
		s["additionalProperties"] = false
	}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// fieldSchema is a field's; null says that a file may have null in its place.
func fieldSchema(f field, null bool) map[string]any {
	s := map[string]any{}
	if f.typ == "object" {
		s = objectSchema(f.sub, f.others != nil, null)
	} else if f.typ != "" {
		s["type"] = f.typ
	}
	maps.Copy(s, f.schema)
	s["description"] = f.doc
	if !null || f.required || f.typ == "" {
		return s
	}
	if values, ok := s["enum"].([]string); ok {
		s["enum"] = nullable(values)
	}
	s["type"] = []string{f.typ, "null"}
	return s
}

func nullable(values []string) []any {
	out := []any{nil}
	for _, v := range values {
		out = append(out, v)
	}
	return out
}
