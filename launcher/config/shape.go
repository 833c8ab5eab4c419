package config

import (
	"slices"
	"strings"
)

// field is one key of an object: the single description from which the reader
// of the files and their JSON Schema both come.
type field struct {
	name     string
	doc      string // a sentence for people and editors
	typ      string // a type of JSON Schema, or empty for any
	want     string // what a value of the wrong type should have been; empty: the type
	required bool
	later    bool                       // not built yet
	set      func(d *document, n *node) // checks and takes a value of the right type

	// Of an object.
	sub    []field
	others func(d *document, n *node) // takes members that are not in sub; nil: there are none
	schema map[string]any             // further keywords of JSON Schema, of any type
}

// read walks an object along its fields and notes every problem.
func (d *document) read(n *node, fields []field, others func(*document, *node)) {
	for _, m := range n.members {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == m.name })
		switch {
		case i >= 0:
			d.readField(m, fields[i])
		case others != nil:
			others(d, m)
		default:
			d.unknown(m, fields)
		}
	}
	for _, f := range fields {
		if f.required && n.byName[f.name] == nil {
			d.missing(n, f.name, f.doc)
		}
	}
}

func (d *document) readField(n *node, f field) {
	if n.kind == 'n' && d.null && !f.required && f.typ != "" {
		return
	}
	if f.typ != "" && !isType(n, f.typ) {
		d.mistyped(n, f)
		return
	}
	if f.typ == "object" {
		d.read(n, f.sub, f.others)
	}
	if f.set != nil {
		f.set(d, n)
	}
}

func isType(n *node, typ string) bool {
	switch typ {
	case "string":
		return n.kind == '"'
	case "number":
		return n.kind == '0'
	case "boolean":
		return n.kind == 't' || n.kind == 'f'
	case "array":
		return n.kind == '['
	}
	return n.kind == '{' // object
}

// mistyped notes a value of the wrong type. It quotes one only where it would
// be right but for the quotes around it.
func (d *document) mistyped(n *node, f field) {
	want := f.want
	if want == "" {
		want = "a " + f.typ
		if f.typ == "object" {
			want = "an object"
		}
	}
	bare := f.typ == "number" && plainNumber(n.str) || f.typ == "boolean" && (n.str == "true" || n.str == "false")
	if n.kind == '"' && bare {
		d.faultHint(n, "must be "+want+", got "+quote(n.str), "write "+n.str+" without the quotes")
		return
	}
	d.fault(n, "must be %s, got %s", want, n.describe())
}

// plainNumber reports whether s is a number too short to be anybody's secret.
func plainNumber(s string) bool {
	return s != "" && len(s) <= 7 && strings.Trim(s, "0123456789.") == "" && strings.Count(s, ".") <= 1
}

// unknown notes a key that means nothing, and the one that was probably meant.
func (d *document) unknown(n *node, fields []field) {
	if d.full() {
		return
	}
	hint := ""
	if meant := nearest(n.name, fields); meant != "" {
		hint = "did you mean " + meant + "?"
	} else if names := known(fields); len(names) <= 12 {
		hint = "known keys: " + strings.Join(names, ", ")
	}
	d.faultHint(n, "unknown key "+quote(n.name), hint)
}

func known(fields []field) []string {
	var names []string
	for _, f := range fields {
		if f.name != "$schema" && !f.later {
			names = append(names, f.name)
		}
	}
	return names
}
