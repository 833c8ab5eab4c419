package config

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// ValidateAdapterConfig checks the adapter's own fields against the JSON Schema
// that its plugin gives. It reads the file again, for the places.
func ValidateAdapterConfig(a *Agent, schema []byte) Problems {
	compiled, err := compile(schema)
	if err != nil {
		why := strings.Join(strings.Fields(err.Error()), " ") // the compiler uses many lines
		return Problems{a.Problem("$.adapterType", "adapter "+a.AdapterType+" has an unusable schema: "+why, "this is the plugin's fault")}
	}
	err = validate(compiled, a.AdapterConfig)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return Problems{a.Problem("$.adapterConfig", err.Error(), "")}
	}
	d, n := open(a.File)
	if n == nil {
		return d.all()
	}
	own := n.byName["adapterConfig"]
	if own == nil {
		own = n // the file changed meanwhile: its next reading says more
	}
	(&findings{d: d, root: own, known: properties(compiled)}).add(invalid)
	return d.all()
}

func compile(schema []byte) (*jsonschema.Schema, error) {
	const name = "urn:agent-launcher:schema" // a relative one would become a path of this machine
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{}) // a schema cannot make the daemon read files
	if err := c.AddResource(name, parsed); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

func validate(schema *jsonschema.Schema, data []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// properties are the keys that adapterConfig can have: those that the schema
// knows at its top, and ours.
func properties(s *jsonschema.Schema) []field {
	fields := []field{{name: "env"}, {name: "timeoutSec"}, {name: "graceSec"}}
	for name := range s.Properties {
		fields = append(fields, field{name: name})
	}
	slices.SortFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	return fields
}
