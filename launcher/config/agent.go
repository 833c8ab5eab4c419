package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// Agent is one adapter file, valid.
type Agent struct {
	File          string
	Name          string // of the file, without .json
	ID            string
	CompanyID     string
	DisplayName   string
	AdapterType   string
	Plain         map[string]string  // plain variables
	Bindings      []protocol.Binding // secret refs, by name
	AdapterConfig json.RawMessage    // what is the adapter's own
	Timeout       time.Duration      // 0: none
	Grace         time.Duration
	Heartbeat     struct {
		Enabled  bool
		Interval time.Duration // 0: the daemon's
	}
	User    string         // empty: the daemon's own
	Sandbox sandbox.Policy // its User is not set here
}

var nameRule = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`)

// reading is an agent while its file is read.
type reading struct {
	agent    *Agent
	own      map[string]json.RawMessage // of the adapter
	timeout  float64
	grace    float64
	enabled  bool
	interval float64
	seen     bool // an intervalSec
	loaders  []loader
	allowed  []string // of them
}

// LoadAgent reads one adapter file. The error is Problems.
func LoadAgent(path string) (*Agent, error) {
	name := strings.TrimSuffix(filepath.Base(path), ".json")
	d, n := open(path)
	if n == nil {
		return nil, d.problems
	}
	if !nameRule.MatchString(name) {
		d.at(0, "$", "the file's name is the agent's: letters, digits, dot, underscore and hyphen, at most 64", "")
	}
	r := &reading{agent: &Agent{File: path, Name: name, Plain: map[string]string{}}, own: map[string]json.RawMessage{}, grace: 15, enabled: true}
	r.agent.Sandbox.Profile = sandbox.ProfileWorkspace
	d.read(n, agentShape(r), nil)
	r.checkLoaders(d)
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return r.finish()
}

func (r *reading) finish() (*Agent, error) {
	a := r.agent
	own, err := json.Marshal(r.own)
	if err != nil {
		return nil, err
	}
	a.AdapterConfig = own
	a.Timeout, a.Grace = seconds(r.timeout), seconds(r.grace)
	a.Heartbeat.Enabled = r.enabled && !(r.seen && r.interval == 0) // 0 is off, as in Paperclip
	a.Heartbeat.Interval = seconds(r.interval)
	sort.Slice(a.Bindings, func(i, j int) bool { return a.Bindings[i].Name < a.Bindings[j].Name })
	return a, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// LoadAgents reads every adapter file of dir: the good ones, and the problems
// of the others.
func LoadAgents(dir string) ([]*Agent, Problems) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, Problems{{File: dir, Line: 1, Col: 1, Path: "$", Message: "cannot read adaptersDir: " + err.Error()}}
	}
	var agents []*Agent
	var problems Problems
	byID := map[string]string{}
	for _, e := range entries { // sorted by name
		if !strings.HasSuffix(e.Name(), ".json") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		a, err := LoadAgent(path)
		if err != nil {
			problems = append(problems, err.(Problems)...)
			continue
		}
		if other := byID[a.ID]; other != "" {
			problems = append(problems, Problem{File: path, Line: 1, Col: 1, Path: "$.id", Message: "the same agent as in " + other})
			continue
		}
		byID[a.ID] = path
		agents = append(agents, a)
	}
	return agents, problems
}

// pasted are keys of a Paperclip agent record that mean nothing here: a record
// can be pasted as it is.
var pasted = []string{"role", "title", "icon", "status", "reportsTo", "capabilities", "budgetMonthlyCents", "spentMonthlyCents",
	"permissions", "lastHeartbeatAt", "metadata", "createdAt", "updatedAt", "urlKey", "hostId", "pauseReason", "pausedAt", "defaultEnvironmentId"}

func agentShape(r *reading) []field {
	a := r.agent
	id := func(to *string) func(*document, *node) {
		return func(d *document, n *node) { *to = n.str; d.id(n) }
	}
	fields := []field{
		{name: "$schema", typ: "string", doc: "The JSON Schema of this file, for editors."},
		{name: "id", typ: "string", required: true, doc: "The agent's id on the control plane.", set: id(&a.ID)},
		{name: "companyId", typ: "string", required: true, doc: "The agent's company.", set: id(&a.CompanyID)},
		{name: "name", typ: "string", doc: "The agent's name, for people.", set: text(&a.DisplayName)},
		{name: "adapterType", typ: "string", required: true, doc: "The plugin that says what to run.", set: text(&a.AdapterType)},
		{name: "adapterConfig", typ: "object", required: true, doc: "What the adapter needs to know. Keys besides these are the adapter's own.",
			sub: adapterShape(r), open: true, others: r.adapterKey},
		{name: "runtimeConfig", typ: "object", doc: "When to run.", open: true, others: func(*document, string, *node) {}, sub: []field{
			{name: "heartbeat", typ: "object", doc: "The agent's heartbeat. Absent: enabled at the daemon's interval.", open: true, others: r.heartbeatKey, sub: []field{
				{name: "enabled", typ: "boolean", doc: "Whether the timer starts the agent. Default true.", set: func(_ *document, n *node) { r.enabled = n.kind == 't' }},
				{name: "intervalSec", typ: "number", doc: "Seconds between heartbeats; 0 turns the timer off.", set: func(d *document, n *node) {
					r.seen = true
					number(&r.interval, 0, 86400*7, "seconds ")(d, n)
				}},
			}},
		}},
		{name: "user", typ: "string", doc: "The account that the agent runs as. Default: the daemon's own.", set: func(d *document, n *node) {
			if a.User = n.str; n.str == "" {
				d.fault(n, "must name an account of this host")
			}
		}},
		{name: "lifecycle", typ: "string", doc: "run: each heartbeat is one short run.", schema: map[string]any{"enum": []string{"run"}}, set: only("run", "service", "lifecycle service")},
		{name: "overlap", typ: "string", doc: "skip: a heartbeat that is due during a run is left out.", schema: map[string]any{"enum": []string{"skip"}}, set: only("skip", "replace", "overlap replace")},
		{name: "staleGraceSec", doc: "Not built yet.", set: notBuilt("running from an earlier bundle while the control plane is down")},
		{name: "sandbox", typ: "object", doc: "What the agent may touch. Default: profile workspace.", sub: sandboxShape(r)},
	}
	for _, key := range pasted {
		fields = append(fields, field{name: key, doc: "Part of a Paperclip agent record; not used."})
	}
	return fields
}

func only(good, later, what string) func(*document, *node) {
	return func(d *document, n *node) {
		switch n.str {
		case good:
		case later:
			d.fault(n, "not built yet: %s", what)
		default:
			d.fault(n, "must be %q", good)
		}
	}
}

func adapterShape(r *reading) []field {
	return []field{
		{name: "env", typ: "object", doc: "The agent's variables: a string, a plain value, or a secret ref.", open: true, others: r.variable, sub: []field{}},
		{name: "timeoutSec", typ: "number", doc: "Seconds after which a run is ended; 0 is never. Default 0.", set: number(&r.timeout, 0, 86400*7, "seconds ")},
		{name: "graceSec", typ: "number", doc: "Seconds between SIGTERM and SIGKILL. Default 15.", set: number(&r.grace, 0, 600, "seconds ")},
	}
}

func (r *reading) adapterKey(d *document, key string, n *node) {
	if strings.HasPrefix(key, "access.") {
		d.at(n.offset, n.path, "access.* delivers through Paperclip's agent API, which source sealed does not have", "bind the secret under env instead")
		return
	}
	r.own[key] = json.RawMessage(n.raw)
}

var heartbeatKeys = []string{"wakeOnDemand", "wakeOnAssignment", "wakeOnOnDemand", "wakeOnAutomation", "maxConcurrentRuns",
	"skipTimerWhenNoActionableWork", "maxDailyRuns", "maxDailyCostCents", "cooldownSec"}

func (r *reading) heartbeatKey(d *document, key string, n *node) {
	for _, known := range heartbeatKeys {
		if key == known {
			return
		}
	}
	d.fault(n, "unknown key %q", cut(key))
}
