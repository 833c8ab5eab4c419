package config

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// findings turns what a JSON Schema has against adapterConfig into problems in
// our words and at their places. The validator's own words quote the values.
type findings struct {
	d     *document
	root  *node   // of adapterConfig
	known []field // its keys
}

func (f *findings) add(e *jsonschema.ValidationError) {
	n := f.root
	for _, step := range e.InstanceLocation {
		if next := n.child(step); next != nil {
			n = next
		}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			f.d.missing(n, name, "")
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			f.unknown(n, name)
		}
	case *kind.PropertyNames: // its causes are at no place of the file
		m := n.child(k.Property)
		if m == nil {
			m = n
		}
		f.d.fault(m, "has a name that the adapter does not take")
	case *kind.AnyOf, *kind.OneOf: // why each form does not match would be more puzzling than helpful
		f.d.fault(n, "has none of the forms that the adapter takes, got %s", n.describe())
	default:
		if len(e.Causes) == 0 {
			f.d.fault(n, "%s", demand(e.ErrorKind, n))
		}
		for _, c := range e.Causes {
			f.add(c)
		}
	}
}

func (f *findings) unknown(n *node, name string) {
	m := n.byName[name]
	if m == nil { // the file changed meanwhile
		m = n
	}
	var fields []field
	if n == f.root {
		fields = f.known
	}
	f.d.unknown(m, fields)
}

// demand says what the schema wants of a value. It quotes the schema alone.
func demand(e jsonschema.ErrorKind, n *node) string {
	must := func(format string, args ...any) string { return "must " + fmt.Sprintf(format, args...) }
	switch k := e.(type) {
	case *kind.Type:
		return must("be of type %s, got %s", strings.Join(k.Want, " or "), n.describe())
	case *kind.Enum:
		return must("be one of %s", literals(k.Want))
	case *kind.Const:
		return must("be %s", literals([]any{k.Want}))
	case *kind.Pattern:
		return must("match %s", k.Want)
	case *kind.Format:
		return must("be a valid %s", k.Want)
	case *kind.Minimum:
		return must("be at least %s", decimal(k.Want))
	case *kind.Maximum:
		return must("be at most %s", decimal(k.Want))
	case *kind.ExclusiveMinimum:
		return must("be above %s", decimal(k.Want))
	case *kind.ExclusiveMaximum:
		return must("be below %s", decimal(k.Want))
	case *kind.MinLength:
		return must("have at least %d characters, got %d", k.Want, k.Got)
	case *kind.MaxLength:
		return must("have at most %d characters, got %d", k.Want, k.Got)
	case *kind.MinItems:
		return must("have at least %d items, got %d", k.Want, k.Got)
	case *kind.MaxItems:
		return must("have at most %d items, got %d", k.Want, k.Got)
	case *kind.FalseSchema:
		return "is not allowed here"
	}
	return must("keep to %q of the adapter's schema", strings.Join(e.KeywordPath(), "/"))
}

func literals(values []any) string {
	words := make([]string, len(values))
	for i, v := range values {
		word, err := json.Marshal(v)
		if err != nil {
			word = []byte("a value of the schema")
		}
		words[i] = string(word)
	}
	return strings.Join(words, ", ")
}

func decimal(r *big.Rat) string {
	s := r.FloatString(6)
	return strings.TrimRight(strings.TrimRight(s, "0"), ".")
}
