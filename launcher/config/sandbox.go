package config

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// sandboxShape is the policy of an agent. What it leaves out is that of profile
// workspace.
func sandboxShape(r *reading) []field {
	p := &r.agent.Sandbox
	profile := choice(field{name: "profile", doc: "workspace (default): the system read-only; cwd, HOME and TMPDIR read-write; network open. strict: writes only TMPDIR; listed ports or no network. off: no Landlock, no seccomp."},
		new(string), []string{"workspace", "strict", "off"})
	check := profile.set
	profile.set = func(d *document, n *node) { check(d, n); p.Profile = sandbox.Profile(n.str) }
	return []field{
		profile,
		paths(field{name: "read", doc: "More paths that the agent may read."}, &p.Read),
		paths(field{name: "write", doc: "More paths that the agent may read and write, but not execute from."}, &p.Write),
		paths(field{name: "exec", doc: "More paths that the agent may read and execute from."}, &p.Exec),
		ports(field{name: "connectTcp", doc: "TCP ports that the agent may connect to. Default: all; with profile strict none."}, &p.ConnectTCP),
		ports(field{name: "bindTcp", doc: "TCP ports that the agent may listen on. Default: all; with profile strict none."}, &p.BindTCP),
		flag(field{name: "unixSockets", doc: "Whether the agent may make unix sockets. With it, it can connect to every socket whose mode lets it: Landlock does not see that."}, &p.UnixSockets),
		flag(field{name: "userNamespaces", doc: "Whether the agent may make user namespaces, for programs with a sandbox of their own such as bubblewrap or Chromium."}, &p.UserNamespaces),
		flag(field{name: "bestEffort", doc: "Whether the agent may run although this kernel cannot enforce all of this. The run's record names what is lost."}, &p.BestEffort),
		allowEnv(r),
		{name: "limits", typ: "object", doc: "Resource limits: setrlimit(2), and of a cgroup. Left out: the launcher's own.", sub: []field{
			limit(field{name: "nofile", doc: "Open files."}, &p.Limits.NoFile, 16),
			limit(field{name: "nproc", doc: "Processes and threads of the agent's user, counted over all its processes. Not enforced for root."}, &p.Limits.NProc, 1),
			limit(field{name: "fsize", doc: "Size in bytes of a file that the agent writes."}, &p.Limits.FSize, 1),
			limit(field{name: "memory", doc: "Bytes of memory of all the agent's processes. Needs a cgroup."}, &p.Limits.Memory, 1<<20),
			limit(field{name: "pids", doc: "Processes and threads of the agent alone. Needs a cgroup."}, &p.Limits.Pids, 1),
			cores(field{name: "cpu", doc: "Processors that the agent may keep busy, such as 0.5. Needs a cgroup."}, &p.Limits.CPU),
		}},
	}
}

func flag(f field, to *bool) field {
	f.typ = "boolean"
	f.set = func(_ *document, n *node) { *to = n.kind == 't' }
	return f
}

// list is an array whose items one takes.
func list(f field, want string, item map[string]any, one func(*document, *node)) field {
	f.typ, f.want, f.schema = "array", want, map[string]any{"items": item}
	f.set = func(d *document, n *node) {
		for _, i := range n.items {
			one(d, i)
		}
	}
	return f
}

func paths(f field, to *[]string) field {
	item := map[string]any{"type": "string", "pattern": "^/"}
	return list(f, "an array of absolute paths", item, func(d *document, n *node) {
		if n.kind != '"' || !filepath.IsAbs(n.str) || strings.ContainsRune(n.str, 0) {
			d.fault(n, "must be an absolute path, got %s", n.describe())
			return
		}
		*to = append(*to, filepath.Clean(n.str))
	})
}

func ports(f field, to *[]uint16) field {
	item := map[string]any{"type": "integer", "minimum": 1, "maximum": 65535}
	return list(f, "an array of ports", item, func(d *document, n *node) {
		v, err := strconv.ParseUint(string(n.raw), 10, 16)
		if err != nil || v == 0 {
			d.fault(n, "must be a port from 1 to 65535, got %s", n.describe())
			return
		}
		*to = append(*to, uint16(v))
	})
}

func limit(f field, to *uint64, low uint64) field {
	f.typ, f.want, f.schema = "number", "a whole number", map[string]any{"minimum": low, "multipleOf": 1}
	f.set = func(d *document, n *node) {
		v, err := strconv.ParseUint(string(n.raw), 10, 62)
		if err != nil || v < low {
			d.fault(n, "must be a whole number from %d, got %s", low, n.describe())
			return
		}
		*to = v
	}
	return f
}

// cores is a share of processor time. The least is what the kernel takes: a
// quota of 1 ms in a period of 100 ms (Documentation/admin-guide/cgroup-v2.rst).
func cores(f field, to *float64) field {
	f = number(f, to, bounds{low: 0.01, high: 4096})
	delete(f.schema, "default")
	return f
}

func allowEnv(r *reading) field {
	f := field{name: "allowEnv", doc: "Plain variables that steer a loader or interpreter, such as LD_PRELOAD or NODE_OPTIONS, and are wanted all the same."}
	return list(f, "an array of names of variables", map[string]any{"type": "string"}, func(d *document, n *node) {
		if n.kind != '"' || protocol.CheckEnvName(n.str) != nil {
			d.fault(n, "must be the name of a variable, got %s", n.describe())
			return
		}
		r.allowed = append(r.allowed, n.str)
	})
}

// loader is a plain variable that steers a loader or interpreter.
type loader struct {
	name string
	node *node
}

// checkLoaders refuses those that allowEnv does not name. It comes last: the
// keys of a file have no order.
func (r *reading) checkLoaders(d *document) {
	for _, l := range r.loaders {
		if !slices.Contains(r.allowed, l.name) {
			d.faultHint(l.node, "steers a loader or interpreter", "if that is wanted, name it in sandbox.allowEnv")
		}
	}
}
