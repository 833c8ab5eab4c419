package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// field is one key of an object: the single description from which both the
// reader and the JSON Schema come.
type field struct {
	name     string
	doc      string
	typ      string // a type of JSON Schema, or "" for any
	required bool
	sub      []field                                // keys of an object
	open     bool                                   // the object may have other keys
	schema   map[string]any                         // further keywords
	set      func(d *document, n *node)             // the value has the right type
	others   func(d *document, key string, n *node) // of an open object
}

var kinds = map[string]string{"string": `"`, "number": "0", "integer": "0", "boolean": "tf", "object": "{", "array": "["}

func kindName(k jsontext.Kind) string {
	switch k {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "null"
}

// read walks an object along its fields and notes every problem.
func (d *document) read(n *node, fields []field, open func(*document, string, *node)) {
	for _, key := range n.keys {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == key })
		switch {
		case i >= 0:
			d.readField(n.fields[key], fields[i])
		case open != nil:
			open(d, key, n.fields[key])
		default:
			child := n.fields[key]
			d.at(child.offset, child.path, fmt.Sprintf("unknown key %q", cut(key)), nearest(key, fields))
		}
	}
	for _, f := range fields {
		if f.required && n.fields[f.name] == nil {
			d.at(n.offset, n.path+"."+f.name, "missing: "+f.doc, "")
		}
	}
}

func (d *document) readField(n *node, f field) {
	if f.typ != "" && !strings.ContainsRune(kinds[f.typ], rune(n.kind)) {
		d.fault(n, "must be %s, not %s", article(f.typ), kindName(n.kind))
		return
	}
	if f.typ == "object" && (f.sub != nil || f.open) {
		d.read(n, f.sub, f.others)
	}
	if f.set != nil {
		f.set(d, n)
	}
}

func article(typ string) string {
	if typ == "object" || typ == "array" || typ == "integer" {
		return "an " + typ
	}
	return "a " + typ
}

func cut(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}

// nearest hints at the known key that was probably meant.
func nearest(key string, fields []field) string {
	best, distance := "", 3
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
		if n := edits(strings.ToLower(key), strings.ToLower(f.name)); n < distance {
			best, distance = f.name, n
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "known keys: " + strings.Join(names, ", ")
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
		}
	}
	return row[len(b)]
}

// text stores a string.
func text(to *string) func(*document, *node) {
	return func(_ *document, n *node) { *to = n.str }
}

// number stores a number within bounds.
func number(to *float64, low, high float64, unit string) func(*document, *node) {
	return func(d *document, n *node) {
		v, err := strconv.ParseFloat(string(n.raw), 64)
		if err != nil || v < low || v > high {
			d.fault(n, "must be %sfrom %v to %v, got %s", unit, low, high, cut(string(n.raw)))
			return
		}
		*to = v
	}
}

func oneOf(values ...string) func(*document, *node) {
	return func(d *document, n *node) {
		if !slices.Contains(values, n.str) {
			d.fault(n, "must be one of %s", strings.Join(values, ", "))
		}
	}
}

func notBuilt(what string) func(*document, *node) {
	return func(d *document, n *node) { d.fault(n, "not built yet: %s", what) }
}

func schemaOf(fields []field, open bool) map[string]any {
	props, required := map[string]any{}, []string{}
	for _, f := range fields {
		s := map[string]any{"description": f.doc}
		if f.typ != "" {
			s["type"] = f.typ
		}
		if f.sub != nil {
			for k, v := range schemaOf(f.sub, f.open) {
				s[k] = v
			}
		}
		for k, v := range f.schema {
			s[k] = v
		}
		props[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	out := map[string]any{"type": "object", "properties": props, "additionalProperties": open}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}
