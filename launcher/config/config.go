package config

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Config is config.json, valid. All paths are absolute.
type Config struct {
	Path         string // of the file itself
	ControlPlane ControlPlane
	HostKeyFile  string // never opened here; empty only if KeeperSocket is not
	AdaptersDir  string
	PluginsDir   string
	Pins         map[string][sha256.Size]byte // by the plugins' names; a plugin without one may be any file of that name
	StateDir     string
	Socket       string    // at most 107 bytes
	KeeperSocket string    // at most 107 bytes; empty: the daemon starts a keeper itself
	UIDRange     *UIDRange // nil: agents without a user share the daemon's uid
	Heartbeat    struct {
		Interval time.Duration // 1 s to 24 h
		Jitter   float64       // share of the interval, 0 to 0.5
		MaxRuns  int           // at a time; 0: no limit
	}
	Retention struct { // of records and logs of runs that are over
		Runs  int           // of an agent, 1 or more
		Age   time.Duration // 0: any
		Bytes int64         // of all logs; 0: any
	}
}

// ControlPlane says where bundles come from.
type ControlPlane struct {
	Source     string // "sealed"
	URL        string // without a slash at the end
	HostID     string
	TokenFile  string            // never opened here
	SigningKey ed25519.PublicKey // of replies
	CAFile     string            // empty: the system's roots
}

// Load reads config.json. Relative paths are resolved against its directory.
// The error is Problems.
func Load(path string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, Problems{about(path, fmt.Errorf("cannot find the file: %w", err))}
	}
	d, n := open(abs)
	if n == nil {
		return nil, d.all()
	}
	c := &Config{Path: abs}
	d.read(n, configShape(c), nil)
	if n.byName["hostKeyFile"] == nil && n.byName["keeperSocket"] == nil {
		d.missing(n, "hostKeyFile", "The host's private key, which only a keeper that has its own (keeperSocket) makes needless.")
	}
	if d.errors > 0 {
		return nil, d.all()
	}
	return c, nil
}

// configShape describes config.json, puts the defaults into c and takes the
// file's values over.
func configShape(c *Config) []field {
	c.AdaptersDir, c.PluginsDir = "/etc/agent-launcher/adapters.d", "/usr/lib/agent-launcher/plugins"
	c.StateDir, c.Socket = "/var/lib/agent-launcher", "/run/agent-launcher/control.sock"
	return []field{
		schemaField(),
		{name: "controlPlane", typ: "object", required: true, doc: "Where bundles come from.", sub: planeShape(&c.ControlPlane)},
		secretFile(field{name: "hostKeyFile", doc: "The host's private key as keygen writes it, or credential:NAME. The daemon never reads it. May be left out only with keeperSocket, for a keeper that was started with its own."}, &c.HostKeyFile),
		path(field{name: "adaptersDir", doc: "Directory of adapter files, one NAME.json for each agent."}, &c.AdaptersDir),
		path(field{name: "pluginsDir", doc: "Directory of adapter plugins, executables named after the adapter type."}, &c.PluginsDir),
		pins(field{name: "plugins", doc: "Plugins that must be one certain file: `{\"NAME\": {\"sha256\": \"64 hex digits\"}}`. Others may be any that pluginsDir has."}, &c.Pins),
		path(field{name: "stateDir", doc: "Directory of run records, logs and the agents' private directories; with a keeperSocket its path takes 61 bytes at most."}, &c.StateDir),
		socket(field{name: "socket", doc: "The control socket."}, &c.Socket),
		{name: "heartbeat", typ: "object", doc: "How often agents are started.", sub: heartbeatShape(c)},
		{name: "retention", typ: "object", doc: "Which runs are kept that are over: their records and logs. An agent's last run always is.", sub: retentionShape(c)},
		socket(field{name: "keeperSocket", doc: "The socket of a keeper that a unit starts. Left out: the daemon starts one itself, with its own uid."}, &c.KeeperSocket),
		uidRange(field{name: "uidRange", doc: "First and last uid of a range for plugins, and for agents without a user: each gets one of its own, for good, and the last is the masker's. Needs the privilege to switch users."}, &c.UIDRange),
	}
}

func schemaField() field {
	return text(field{name: "$schema", doc: "The JSON Schema of this file, for editors."}, new(string))
}

func heartbeatShape(c *Config) []field {
	interval := 300.0
	c.Heartbeat.Interval, c.Heartbeat.Jitter = seconds(interval), 0.1
	every := number(field{name: "intervalSec", doc: "Seconds between heartbeats of an agent that does not say otherwise."}, &interval,
		bounds{low: 1, high: 86400, unit: "seconds"})
	take := every.set
	every.set = func(d *document, n *node) {
		take(d, n)
		c.Heartbeat.Interval = seconds(interval)
	}
	most := 0.0
	return []field{every,
		whole(field{name: "maxRuns", doc: "How many runs may go on at a time; the others wait, first come, first served. Services count. 0: no limit."}, &most,
			bounds{high: 100_000}, func() { c.Heartbeat.MaxRuns = int(most) }),
		number(field{name: "jitter", doc: "Share of the interval by which each heartbeat may be early or late."}, &c.Heartbeat.Jitter, bounds{high: 0.5})}
}

func retentionShape(c *Config) []field {
	r := &c.Retention
	r.Runs, r.Age, r.Bytes = 50, 30*24*time.Hour, 2048<<20
	runs, days, megabytes := 50.0, 30.0, 2048.0
	return []field{
		whole(field{name: "runs", doc: "How many of each agent."}, &runs, bounds{low: 1, high: 10_000}, func() { r.Runs = int(runs) }),
		whole(field{name: "days", doc: "For how long. 0: for any time."}, &days, bounds{high: 36_500}, func() { r.Age = time.Duration(days) * 24 * time.Hour }),
		whole(field{name: "megabytes", doc: "How much all logs may take; the oldest go first. 0: any."}, &megabytes, bounds{high: 10_000_000}, func() { r.Bytes = int64(megabytes) << 20 }),
	}
}

func planeShape(p *ControlPlane) []field {
	key := text(field{name: "signingKey", required: true, doc: "The control plane's public signing key, the line it gave at enrolment. Replies signed by any other are refused."}, new(string))
	key.schema = map[string]any{"pattern": "^\\s*" + protocol.SigningKeyPrefix}
	key.set = func(d *document, n *node) {
		k, err := protocol.ParseKey(protocol.SigningKeyPrefix, n.str, ed25519.PublicKeySize) // quotes nothing
		if err != nil {
			d.fault(n, "%v", err)
		}
		p.SigningKey = k
	}
	return []field{
		choice(field{name: "source", required: true, doc: "The kind of control plane: sealed is the reference control plane."}, &p.Source, []string{"sealed"}, "paperclip"),
		baseURL(field{name: "url", required: true, doc: "Base URL: https, or http on loopback. No user, password, query or fragment."}, &p.URL),
		id(field{name: "hostId", required: true, doc: "The id that the control plane gave this host."}, &p.HostID),
		secretFile(field{name: "tokenFile", required: true, doc: "File that holds the host token, or credential:NAME."}, &p.TokenFile),
		key,
		path(field{name: "caFile", doc: "PEM file of the CAs that may vouch for the control plane, in place of the system's."}, &p.CAFile),
	}
}
