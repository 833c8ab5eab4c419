package config

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/agent-launcher/agent-launcher/internal/trust"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// Config is config.json, valid, with absolute paths.
type Config struct {
	Path         string
	ControlPlane ControlPlane
	HostKeyFile  string
	AdaptersDir  string
	PluginsDir   string
	StateDir     string
	Socket       string
	Heartbeat    struct {
		Interval time.Duration
		Jitter   float64 // share of the interval, 0 to 0.5
	}
}

// ControlPlane says where bundles come from.
type ControlPlane struct {
	Source     string // "sealed"
	URL        string
	HostID     string
	TokenFile  string
	SigningKey ed25519.PublicKey
	CAFile     string // empty: the system's roots
}

// maxFile bounds a file in bytes.
const maxFile = 1 << 20

// Load reads config.json. The error is Problems.
func Load(path string) (*Config, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot find %s: %w", path, err)
	}
	d, n := open(abs)
	if n == nil {
		return nil, d.problems
	}
	c := &Config{Path: abs}
	c.AdaptersDir, c.PluginsDir = "/etc/agent-launcher/adapters.d", "/usr/lib/agent-launcher/plugins"
	c.StateDir, c.Socket = "/var/lib/agent-launcher", "/run/agent-launcher/control.sock"
	interval, jitter := 300.0, 0.1
	d.read(n, configShape(c, &interval, &jitter), nil)
	c.Heartbeat.Interval, c.Heartbeat.Jitter = time.Duration(interval*float64(time.Second)), jitter
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return c, nil
}

// open reads a file that may be trusted and parses it.
func open(path string) (*document, *node) {
	d := &document{file: path}
	data, err := readTrusted(path)
	if err != nil {
		hint := ""
		if h, ok := err.(interface{ Hint() string }); ok {
			hint = h.Hint()
		}
		d.problems = Problems{{File: path, Line: 1, Col: 1, Path: "$", Message: err.Error(), Hint: hint}}
		return d, nil
	}
	d.data = data
	if !utf8.Valid(data) {
		d.at(0, "$", "not UTF-8", "")
		return d, nil
	}
	if strings.HasPrefix(string(data), "\ufeff") {
		d.at(0, "$", "begins with a byte order mark", "save the file as UTF-8 without one")
		return d, nil
	}
	n := d.parse()
	if n != nil && n.kind != '{' {
		d.fault(n, "must be an object, not %s", kindName(n.kind))
		n = nil
	}
	return d, n
}

func readTrusted(path string) ([]byte, error) {
	if err := trust.Check(path); err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("must be a regular file of at most %d bytes", maxFile)
	}
	return os.ReadFile(path)
}

func configShape(c *Config, interval, jitter *float64) []field {
	file := func(to *string) func(*document, *node) {
		return func(d *document, n *node) { *to = d.path(n) }
	}
	return []field{
		{name: "$schema", typ: "string", doc: "The JSON Schema of this file, for editors."},
		{name: "controlPlane", typ: "object", required: true, doc: "Where bundles come from.", sub: planeShape(&c.ControlPlane)},
		{name: "hostKeyFile", typ: "string", required: true, doc: "The host's private key as keygen writes it, or credential:NAME. The daemon never reads it.", set: file(&c.HostKeyFile)},
		{name: "adaptersDir", typ: "string", doc: "Directory of adapter files, one NAME.json per agent. Default /etc/agent-launcher/adapters.d.", set: file(&c.AdaptersDir)},
		{name: "pluginsDir", typ: "string", doc: "Directory of adapter plugins. Default /usr/lib/agent-launcher/plugins.", set: file(&c.PluginsDir)},
		{name: "stateDir", typ: "string", doc: "Directory of run records, logs and the agents' private directories. Default /var/lib/agent-launcher.", set: file(&c.StateDir)},
		{name: "socket", typ: "string", doc: "The control socket. Default /run/agent-launcher/control.sock.", set: file(&c.Socket)},
		{name: "heartbeat", typ: "object", doc: "How often agents are started.", sub: []field{
			{name: "intervalSec", typ: "number", doc: "Seconds between heartbeats of agents that do not say otherwise. Default 300.", set: number(interval, 1, 86400, "seconds ")},
			{name: "jitter", typ: "number", doc: "Share of the interval by which each heartbeat may be early or late. Default 0.1.", set: number(jitter, 0, 0.5, "")},
		}},
		{name: "keeperSocket", doc: "Not built yet.", set: notBuilt("the keeper")},
		{name: "uidRange", doc: "Not built yet.", set: notBuilt("a uid per agent; until then set user in the adapter file")},
	}
}

func planeShape(p *ControlPlane) []field {
	return []field{
		{name: "source", typ: "string", required: true, doc: "The kind of control plane: sealed, the reference control plane.", schema: map[string]any{"enum": []string{"sealed"}},
			set: func(d *document, n *node) {
				p.Source = n.str
				if n.str == "paperclip" {
					notBuilt("source paperclip; use the reference control plane with source sealed")(d, n)
					return
				}
				oneOf("sealed")(d, n)
			}},
		{name: "url", typ: "string", required: true, doc: "Base URL: https, or http on loopback.", set: func(d *document, n *node) { p.URL = d.url(n) }},
		{name: "hostId", typ: "string", required: true, doc: "The id that the control plane gave this host.", set: func(d *document, n *node) {
			p.HostID = n.str
			d.id(n)
		}},
		{name: "tokenFile", typ: "string", required: true, doc: "File with the host token, or credential:NAME.", set: func(d *document, n *node) { p.TokenFile = d.path(n) }},
		{name: "signingKey", typ: "string", required: true, doc: "The control plane's public signing key, the line it gave at enrolment. Replies of any other are refused.",
			set: func(d *document, n *node) {
				key, err := protocol.ParseKey(protocol.SigningKeyPrefix, n.str, ed25519.PublicKeySize)
				if err != nil {
					d.fault(n, "%v", err)
				}
				p.SigningKey = key
			}},
		{name: "caFile", typ: "string", doc: "PEM file of the CAs that may vouch for the control plane, in place of the system's.", set: func(d *document, n *node) { p.CAFile = d.path(n) }},
	}
}

// path resolves a path against the file's directory, and credential:NAME
// against the directory that systemd gives (systemd.exec(5), LoadCredential).
func (d *document) path(n *node) string {
	name, credential := strings.CutPrefix(n.str, "credential:")
	switch {
	case n.str == "" || strings.ContainsRune(n.str, 0):
		d.fault(n, "is not a path")
	case !credential && filepath.IsAbs(n.str):
		return filepath.Clean(n.str)
	case !credential:
		return filepath.Join(filepath.Dir(d.file), n.str)
	case name == "" || name == "." || name == ".." || strings.Contains(name, "/"):
		d.fault(n, "credential:NAME needs a plain file name")
	case os.Getenv("CREDENTIALS_DIRECTORY") == "":
		d.at(n.offset, n.path, "names a systemd credential, but CREDENTIALS_DIRECTORY is not set",
			"start the daemon by its unit with LoadCredential="+name+":PATH, or name a file")
	default:
		return filepath.Join(os.Getenv("CREDENTIALS_DIRECTORY"), name)
	}
	return ""
}

func (d *document) url(n *node) string {
	u, err := url.Parse(n.str)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		d.fault(n, "must be a URL such as https://paperclip.example:3100")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		d.fault(n, "must have no user, query or fragment: the token belongs into tokenFile")
	case u.Scheme == "http" && !loopback(u.Hostname()):
		d.at(n.offset, n.path, "plain http is for loopback only", "use https, with caFile for a private CA")
	}
	return strings.TrimSuffix(n.str, "/")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (d *document) id(n *node) {
	if n.str == "" || len(n.str) > protocol.MaxIDLen || strings.ContainsAny(n.str, "/\\ \t\r\n\x00") {
		d.fault(n, "is not an id: 1 to %d bytes without slashes or spaces", protocol.MaxIDLen)
	}
}

// Schema is the JSON Schema (draft 2020-12) of "config" or "adapter".
func Schema(kind string) ([]byte, error) {
	var fields []field
	var f float64
	switch kind {
	case "config":
		fields = configShape(&Config{}, &f, &f)
	case "adapter":
		fields = agentShape(&reading{agent: &Agent{}})
	default:
		return nil, fmt.Errorf("no schema %q: config or adapter", kind)
	}
	s := schemaOf(fields, false)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "agent-launcher " + kind
	return json.MarshalIndent(s, "", "  ")
}
