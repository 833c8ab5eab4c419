package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// maxVariable is the size of NAME=value and its NUL in bytes: MAX_ARG_STRLEN,
// execve(2).
const maxVariable = 128 << 10

// mask is what Paperclip shows in place of plain values.
const mask = "***REDACTED***"

// envField is env: from names to strings, plain values and secret refs.
func envField(r *reading) field {
	one := []any{map[string]any{"type": "string"},
		objectSchema(plainShape(r, ""), false, false),
		objectSchema(refShape(new(protocol.Binding)), false, false)}
	return field{name: "env", typ: "object", others: r.variable,
		doc: `The agent's variables: a string, {"type":"plain","value":"..."}, or a secret ref. Names that begin with PAPERCLIP_ are reserved.`,
		schema: map[string]any{
			"additionalProperties": map[string]any{"anyOf": one},
			"propertyNames":        map[string]any{"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": protocol.MaxNameLen, "not": map[string]any{"pattern": "^PAPERCLIP_"}},
		}}
}

// variable reads one variable.
func (r *reading) variable(d *document, n *node) {
	switch {
	case protocol.CheckEnvName(n.name) != nil: // its own message has the whole name, which may be a value in the wrong place
		d.faultHint(n, fmt.Sprintf("not the name of a variable: it must match [A-Za-z_][A-Za-z0-9_]* and have at most %d bytes", protocol.MaxNameLen), "")
	case protocol.Reserved(n.name):
		d.faultHint(n, "names that begin with PAPERCLIP_ are reserved: the launcher sets them", "")
	case n.kind == '"':
		r.plain(d, n.name, n)
	case n.kind == '{':
		r.binding(d, n)
	default:
		d.fault(n, "must be a string, a plain value or a secret ref, got %s", n.describe())
	}
}

func (r *reading) plain(d *document, name string, n *node) {
	r.agent.Plain[name] = n.str
	switch size := len(name) + len(n.str) + len("=\x00"); {
	case protocol.Loader(name):
		r.loaders = append(r.loaders, loader{name, n})
	case strings.ContainsRune(n.str, 0):
		d.fault(n, "holds a NUL character, which no environment can carry")
	case size > maxVariable:
		d.fault(n, "name and value take %d bytes: execve(2) takes at most %d of one variable", size, maxVariable)
	case n.str == mask:
		d.faultHint(n, "is Paperclip's mask, not the value", "Paperclip shows every plain value so: put the real one here, or bind a secret")
	case n.str != "" && secretive(name):
		d.warn(n, "looks like a secret, in plain text", "store it on the control plane and bind it as a secret_ref")
	}
}

// secretive reports whether a variable of that name usually holds a secret.
func secretive(name string) bool {
	endings := []string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "API_KEY", "APIKEY", "ACCESS_KEY", "PRIVATE_KEY"}
	return slices.ContainsFunc(endings, func(end string) bool { return strings.HasSuffix(strings.ToUpper(name), end) })
}

// binding reads a variable that is an object, by its type.
func (r *reading) binding(d *document, n *node) {
	typ := n.byName["type"]
	if typ == nil || typ.kind != '"' {
		d.fault(n, `needs a "type": plain or secret_ref`)
		return
	}
	composio := regexp.MustCompile(`(?i)composio|oauth|connect|refresh`)
	switch {
	case typ.str == "plain":
		d.read(n, plainShape(r, n.name), nil)
	case typ.str == "secret_ref":
		r.secretRef(d, n)
	case typ.str == "user_secret_ref":
		d.faultHint(typ, "Paperclip delivers a user's secrets itself: only the real server can", "bind a secret of the company")
	case composio.MatchString(typ.str):
		d.faultHint(typ, "OAuth grants, refresh tokens and connected accounts belong to Composio, not to a launcher", "connect the account in Composio")
	default:
		d.fault(typ, "must be one of the three that an env value can be: a string, plain or secret_ref")
	}
}

func (r *reading) secretRef(d *document, n *node) {
	b := protocol.Binding{Name: n.name}
	if err := protocol.CheckSecretName(n.name); err != nil {
		d.faultHint(n, err.Error(), "")
	}
	d.read(n, refShape(&b), nil)
	r.agent.Bindings = append(r.agent.Bindings, b)
}

func plainShape(r *reading, name string) []field {
	value := text(field{name: "value", required: true, doc: "The value."}, new(string))
	value.set = func(d *document, n *node) { r.plain(d, name, n) }
	return append([]field{typeField("plain"), value}, projection()...)
}

func refShape(b *protocol.Binding) []field {
	return append([]field{typeField("secret_ref"),
		id(field{name: "secretId", required: true, doc: "The secret's id on the control plane."}, &b.SecretID),
		{name: "version", doc: "latest, which is the default, or a version's number from 1.",
			schema: map[string]any{"anyOf": []any{map[string]any{"const": "latest"}, map[string]any{"type": "integer", "minimum": 1}}},
			set:    func(d *document, n *node) { b.Version = selector(d, n) }},
	}, projection()...)
}

func typeField(name string) field {
	f := text(field{name: "type", required: true, doc: "The kind of value."}, new(string))
	f.schema = map[string]any{"const": name}
	return f
}

// projection is what Paperclip stores with a binding.
func projection() []field {
	return unused([]string{"projectionClass", "projectionAllowlistKey"}, "Paperclip's own. Not used here.")
}

func selector(d *document, n *node) protocol.Selector {
	if n.kind == '"' && n.str == "latest" {
		return protocol.Latest
	}
	v, err := strconv.ParseUint(string(n.raw), 10, 32)
	if err != nil || v == 0 {
		d.fault(n, `must be "latest" or a version's number from 1, got %s`, n.describe())
	}
	return protocol.Selector(v)
}
