package config

import (
	"path/filepath"
	"slices"
	"strconv"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// sandboxShape is the policy of an agent; what it leaves out is the workspace
// profile's.
func sandboxShape(r *reading) []field {
	p := &r.agent.Sandbox
	return []field{
		{name: "profile", typ: "string", doc: "workspace (default): the system read-only; cwd, HOME and TMPDIR read-write; network open. strict: writes only TMPDIR, listed ports or no network. off: no Landlock, no seccomp.",
			schema: map[string]any{"enum": []string{"workspace", "strict", "off"}}, set: func(d *document, n *node) {
				p.Profile = sandbox.Profile(n.str)
				oneOf("workspace", "strict", "off")(d, n)
			}},
		{name: "read", typ: "array", doc: "More paths that the agent may read.", set: paths(&p.Read)},
		{name: "write", typ: "array", doc: "More paths that the agent may read and write, but not execute from.", set: paths(&p.Write)},
		{name: "exec", typ: "array", doc: "More paths that the agent may read and execute from.", set: paths(&p.Exec)},
		{name: "connectTcp", typ: "array", doc: "TCP ports that the agent may connect to. Default: all; with profile strict: none.", set: ports(&p.ConnectTCP)},
		{name: "bindTcp", typ: "array", doc: "TCP ports that the agent may listen on. Default: all; with profile strict: none.", set: ports(&p.BindTCP)},
		{name: "unixSockets", typ: "boolean", doc: "Whether the agent may make unix sockets. With it the agent can connect to any socket whose mode lets it: Landlock does not see that.", set: flag(&p.UnixSockets)},
		{name: "userNamespaces", typ: "boolean", doc: "Whether the agent may make user namespaces, for programs with a sandbox of their own such as bubblewrap or Chromium.", set: flag(&p.UserNamespaces)},
		{name: "bestEffort", typ: "boolean", doc: "Whether the agent may run although this kernel cannot enforce all of this. Status names what is lost.", set: flag(&p.BestEffort)},
		{name: "allowEnv", typ: "array", doc: "Plain variables that steer a loader or interpreter (LD_PRELOAD, NODE_OPTIONS ...) and are wanted all the same.", set: func(d *document, n *node) {
			for _, item := range n.items {
				if item.kind != '"' || protocol.CheckEnvName(item.str) != nil {
					d.fault(item, "must be the name of a variable")
				}
				r.allowed = append(r.allowed, item.str)
			}
		}},
		{name: "limits", typ: "object", doc: "Resource limits, setrlimit(2). Left out: the launcher's own.", sub: []field{
			{name: "nofile", typ: "integer", doc: "Open files.", set: limit(&p.Limits.NoFile, 16)},
			{name: "nproc", typ: "integer", doc: "Processes and threads of the agent's user, counted over all its processes. Not enforced for root.", set: limit(&p.Limits.NProc, 1)},
			{name: "fsize", typ: "integer", doc: "Size in bytes of a file that the agent writes.", set: limit(&p.Limits.FSize, 1)},
			{name: "memory", doc: "Not built yet.", set: notBuilt("memory limits need the keeper's cgroups")},
			{name: "cpu", doc: "Not built yet.", set: notBuilt("cpu limits need the keeper's cgroups")},
			{name: "pids", doc: "Not built yet.", set: notBuilt("pids limits need the keeper's cgroups; nproc counts a user's processes")},
		}},
	}
}

func flag(to *bool) func(*document, *node) {
	return func(_ *document, n *node) { *to = n.kind == 't' }
}

func paths(to *[]string) func(*document, *node) {
	return func(d *document, n *node) {
		for _, item := range n.items {
			if item.kind != '"' || !filepath.IsAbs(item.str) {
				d.fault(item, "must be an absolute path")
				continue
			}
			*to = append(*to, filepath.Clean(item.str))
		}
	}
}

func ports(to *[]uint16) func(*document, *node) {
	return func(d *document, n *node) {
		for _, item := range n.items {
			v, err := strconv.ParseUint(string(item.raw), 10, 16)
			if err != nil || v == 0 {
				d.fault(item, "must be a port from 1 to 65535")
				continue
			}
			*to = append(*to, uint16(v))
		}
	}
}

func limit(to *uint64, low uint64) func(*document, *node) {
	return func(d *document, n *node) {
		v, err := strconv.ParseUint(string(n.raw), 10, 62)
		if err != nil || v < low {
			d.fault(n, "must be a whole number from %d", low)
		}
		*to = v
	}
}

// checkLoaders refuses loader variables that allowEnv does not name. It comes
// last: the keys of a file have no order.
func (r *reading) checkLoaders(d *document) {
	for _, l := range r.loaders {
		if !slices.Contains(r.allowed, l.name) {
			d.at(l.node.offset, l.node.path, l.name+" steers a loader or interpreter",
				`if that is wanted, name it in sandbox.allowEnv: ["`+l.name+`"]`)
		}
	}
}

// loader is a plain variable that steers a loader or interpreter.
type loader struct {
	name string
	node *node
}
