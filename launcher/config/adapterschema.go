package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// ValidateAdapterConfig checks what is the adapter's own against the schema
// that its plugin gives.
func ValidateAdapterConfig(a *Agent, schema []byte) Problems {
	err := validate(a.AdapterConfig, schema)
	var invalid *jsonschema.ValidationError
	if err == nil {
		return nil
	}
	if !errors.As(err, &invalid) {
		return Problems{{File: a.File, Line: 1, Col: 1, Path: "$.adapterConfig", Message: fmt.Sprintf("adapter %s has an unusable schema: %v", a.AdapterType, err)}}
	}
	d, n := open(a.File)
	if n == nil {
		return d.problems
	}
	collect(d, n.fields["adapterConfig"], invalid)
	return d.problems
}

func validate(config, schema []byte) error {
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{}) // a schema cannot make the daemon read files
	if err := c.AddResource("adapter.json", parsed); err != nil {
		return err
	}
	compiled, err := c.Compile("adapter.json")
	if err != nil {
		return err
	}
	var v any
	if err := json.Unmarshal(config, &v); err != nil {
		return err
	}
	return compiled.Validate(v)
}

func collect(d *document, root *node, e *jsonschema.ValidationError) {
	if len(e.Causes) > 0 {
		for _, c := range e.Causes {
			collect(d, root, c)
		}
		return
	}
	n := root
	for _, step := range e.InstanceLocation {
		if next := n.child(step); next != nil {
			n = next
		}
	}
	d.fault(n, "%s", strings.TrimSpace(e.ErrorKind.LocalizedString(message.NewPrinter(language.English))))
}

func (n *node) child(step string) *node {
	if n.fields != nil {
		return n.fields[step]
	}
	var i int
	if _, err := fmt.Sscanf(step, "%d", &i); err != nil || i < 0 || i >= len(n.items) {
		return nil
	}
	return n.items[i]
}
