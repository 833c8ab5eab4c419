package config

import (
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// variable reads one variable of env. No message quotes a value: an operator
// may have pasted a secret.
func (r *reading) variable(d *document, name string, n *node) {
	if err := protocol.CheckEnvName(name); err != nil {
		d.fault(n, "%v", err)
		return
	}
	if protocol.Reserved(name) {
		d.fault(n, "%s is reserved: names that begin with PAPERCLIP_ are set by the launcher", name)
		return
	}
	switch n.kind {
	case '"':
		r.plain(d, name, n)
	case '{':
		r.binding(d, name, n)
	default:
		d.fault(n, "must be a string, a plain value or a secret ref, not %s", kindName(n.kind))
	}
}

func (r *reading) plain(d *document, name string, n *node) {
	switch {
	case protocol.Loader(name):
		r.loaders = append(r.loaders, loader{name, n})
	case strings.ContainsRune(n.str, 0):
		d.fault(n, "holds a NUL character, which no environment can carry")
	case n.str == "***REDACTED***":
		d.at(n.offset, n.path, "is Paperclip's mask, not the value", "Paperclip masks plain values when it shows an agent: put the real one here")
	}
	r.agent.Plain[name] = n.str
}

func (r *reading) binding(d *document, name string, n *node) {
	typ := n.fields["type"]
	if typ == nil || typ.kind != '"' {
		d.fault(n, `needs a "type": plain or secret_ref`)
		return
	}
	switch t := typ.str; {
	case t == "plain":
		r.plainObject(d, name, n)
	case t == "secret_ref":
		r.secretRef(d, name, n)
	case t == "user_secret_ref":
		d.fault(typ, "user secrets belong to a Paperclip user: only the real Paperclip server delivers them")
	case strings.Contains(t, "composio") || strings.Contains(t, "oauth") || strings.Contains(t, "connect") || strings.Contains(t, "refresh"):
		d.fault(typ, "OAuth grants, refresh tokens and connected accounts belong to Composio, not to a secret ref")
	default:
		d.fault(typ, "unknown type: plain or secret_ref")
	}
}

func (r *reading) plainObject(d *document, name string, n *node) {
	d.read(n, []field{
		{name: "type"},
		{name: "value", typ: "string", required: true, doc: "the plain value", set: func(d *document, v *node) { r.plain(d, name, v) }},
	}, nil)
}

func (r *reading) secretRef(d *document, name string, n *node) {
	b := protocol.Binding{Name: name}
	if err := protocol.CheckSecretName(name); err != nil {
		d.fault(n, "%v", err)
	}
	d.read(n, []field{
		{name: "type"},
		{name: "secretId", typ: "string", required: true, doc: "the secret's id", set: func(d *document, v *node) { b.SecretID = v.str; d.id(v) }},
		{name: "version", set: func(d *document, v *node) { b.Version = selector(d, v) }},
		{name: "projectionClass"}, {name: "projectionAllowlistKey"},
	}, nil)
	r.agent.Bindings = append(r.agent.Bindings, b)
}

func selector(d *document, n *node) protocol.Selector {
	if n.kind == '"' && n.str == "latest" {
		return protocol.Latest
	}
	v, err := strconv.ParseUint(string(n.raw), 10, 32)
	if err != nil || v == 0 {
		d.fault(n, `must be "latest" or a version number from 1`)
	}
	return protocol.Selector(v)
}
