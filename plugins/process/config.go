package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// config holds the adapter's own fields of adapterConfig.
type config struct {
	Command string
	Args    []string
	Cwd     string
}

// readConfig reads and checks the fields by hand, so that every problem is
// reported at once, in the operator's words, and names are case-sensitive
// (encoding/json accepts Command for command).
func readConfig(data []byte) (*config, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return nil, &adapter.Problem{Message: "adapterConfig must be a JSON object"}
	}
	c := &config{}
	var args []*string // a null among them stays visible
	errs := []error{
		read(fields, "command", "a string", &c.Command),
		read(fields, "args", "an array of strings", &args),
		read(fields, "cwd", "a string", &c.Cwd),
	}
	for i, arg := range args {
		if arg == nil {
			errs = append(errs, &adapter.Problem{Field: fmt.Sprintf("args[%d]", i), Message: "must be a string"})
			continue
		}
		c.Args = append(c.Args, *arg)
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		errs = append(errs, &adapter.Problem{Field: name, Message: "unknown field",
			Hint: "the process adapter takes command, args and cwd"})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, c.check()
}

// read takes a field out of fields. null and absence leave v as it is.
func read(fields map[string]json.RawMessage, name, want string, v any) error {
	raw, ok := fields[name]
	delete(fields, name)
	if !ok || json.Unmarshal(raw, v) == nil {
		return nil
	}
	return &adapter.Problem{Field: name, Message: "must be " + want}
}

// check quotes nothing: whatever stands in a field may be a secret.
func (c *config) check() error {
	var errs []error
	problem := func(field, message, hint string) {
		errs = append(errs, &adapter.Problem{Field: field, Message: message, Hint: hint})
	}
	switch {
	case c.Command == "":
		problem("command", "is missing", "name the program to run")
	case strings.Contains(c.Command, "/") && !filepath.IsAbs(c.Command):
		problem("command", "is a relative path",
			"give an absolute path, or a name without a slash to look it up in PATH")
	case strings.ContainsAny(c.Command, " \t\n") && len(c.Args) == 0 && !filepath.IsAbs(c.Command):
		problem("command", "holds a space",
			"there is no shell: put the program into command and its arguments into args")
	}
	switch {
	case c.Cwd == "":
		problem("cwd", "is missing", "give the absolute path of the agent's working directory")
	case !filepath.IsAbs(c.Cwd):
		problem("cwd", "is a relative path", "give an absolute path")
	}
	noNUL := func(field, value string) {
		if strings.Contains(value, "\x00") {
			problem(field, "holds a NUL byte", "")
		}
	}
	noNUL("command", c.Command)
	noNUL("cwd", c.Cwd)
	for i, arg := range c.Args {
		noNUL(fmt.Sprintf("args[%d]", i), arg)
	}
	return errors.Join(errs...)
}
