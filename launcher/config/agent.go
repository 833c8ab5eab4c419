package config

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// Agent is one adapter file, valid. Two that are equal under reflect.DeepEqual
// run alike.
type Agent struct {
	File          string
	Name          string // of the file, without .json: [A-Za-z0-9._-]{1,64}, not beginning with a dot
	ID            string
	CompanyID     string
	DisplayName   string // for people, may be empty
	AdapterType   string // [a-z0-9_]{1,64}
	Plain         map[string]string
	Bindings      []protocol.Binding // secret refs of env, by name; none: all of the control plane's record
	AdapterConfig json.RawMessage    // one object: adapterConfig without env, timeoutSec and graceSec
	Timeout       time.Duration      // 0: none
	Grace         time.Duration      // between SIGTERM and SIGKILL
	Heartbeat     struct {
		Enabled  bool          // whether the timer starts the agent
		Interval time.Duration // 0: the daemon's
	}
	Lifecycle  string         // LifecycleRun or LifecycleService
	Overlap    string         // of LifecycleRun: OverlapSkip or OverlapReplace
	OnRotate   string         // of LifecycleService: RotateRestart or RotateNextStart
	OnRevoke   string         // RevokeKeep or RevokeStop
	StaleGrace time.Duration  // how old a bundle may be that is used while the control plane is down; 0: none is
	User       string         // empty: the daemon's own
	Sandbox    sandbox.Policy // its User is not set here
}

// What an agent's file may say of its life.
const (
	LifecycleRun     = "run"       // each heartbeat is one run
	LifecycleService = "service"   // one long-lived process
	OverlapSkip      = "skip"      // a heartbeat that is due during a run is left out
	OverlapReplace   = "replace"   // it ends the run and begins another
	RotateRestart    = "restart"   // a new version of a secret replaces the process
	RotateNextStart  = "nextStart" // it waits for the next start
	RevokeKeep       = "keep"      // what runs goes on
	RevokeStop       = "stop"      // what runs is ended
)

// reading is an agent while its file is read.
type reading struct {
	agent    *Agent
	own      map[string]json.RawMessage // the adapter's own fields
	timeout  float64                    // seconds, as the next two
	grace    float64
	interval float64
	stale    float64
	off      bool // by enabled or by an interval of 0
	loaders  []loader
	allowed  []string // of the loaders
}

func newReading(a *Agent) *reading {
	a.Plain, a.Sandbox.Profile = map[string]string{}, sandbox.ProfileWorkspace
	a.Lifecycle, a.Overlap, a.OnRotate, a.OnRevoke = LifecycleRun, OverlapSkip, RotateRestart, RevokeKeep
	return &reading{agent: a, own: map[string]json.RawMessage{}, grace: 15}
}

// LoadAgent reads one adapter file. The error is Problems. Warnings alone are
// no error and are left out: LoadAgents has them.
func LoadAgent(file string) (*Agent, error) {
	a, d, _ := load(file)
	if d.errors > 0 {
		return nil, d.all()
	}
	return a, nil
}

// load reads one adapter file. The agent is whole only if the document has no
// errors; what is known of it otherwise helps to find duplicates.
func load(file string) (*Agent, *document, *node) {
	name := strings.TrimSuffix(filepath.Base(file), ".json")
	a := &Agent{File: file, Name: name}
	r := newReading(a)
	d, n := open(file)
	if n == nil {
		return a, d, nil
	}
	d.null = true
	if len(name) > 64 || !regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*$`).MatchString(name) {
		d.note(Problem{Path: "$", Message: "the file's name is no agent's name",
			Hint: "rename it: 1 to 64 letters, digits and . _ -, then .json"}, 0)
	}
	d.read(n, agentShape(r), nil)
	r.finish(d, n)
	return a, d, n
}

func (r *reading) finish(d *document, n *node) {
	a := r.agent
	r.checkLoaders(d)
	own, err := json.Marshal(r.own)
	if err != nil {
		d.fault(n, "cannot encode adapterConfig: %v", err)
	}
	a.AdapterConfig = own
	a.Timeout, a.Grace, a.StaleGrace = seconds(r.timeout), seconds(r.grace), seconds(r.stale)
	a.Heartbeat.Enabled, a.Heartbeat.Interval = !r.off, seconds(r.interval)
	slices.SortFunc(a.Bindings, func(x, y protocol.Binding) int { return strings.Compare(x.Name, y.Name) })
	if len(a.Bindings) > protocol.MaxRefs {
		d.fault(n, "%d secret refs: one agent can have %d", len(a.Bindings), protocol.MaxRefs)
	}
}

// Problem is a problem of the agent that another part of the daemon found, at
// its place in the file: the value at the JSON path, or the nearest around it.
func (a *Agent) Problem(path, message, hint string) Problem {
	return problemAt(a.File, path, message, hint)
}

// Problem is a problem of config.json that another part of the daemon found.
func (c *Config) Problem(path, message, hint string) Problem {
	return problemAt(c.Path, path, message, hint)
}

func problemAt(file, path, message, hint string) Problem {
	p := Problem{File: file, Line: 1, Col: 1, Path: path, Message: message, Hint: hint}
	if d, n := open(file); n != nil {
		p.Line, p.Col = d.position(n.find(path).start)
	}
	return p
}

// find is the node at a JSON path, or the deepest one on the way there.
func (n *node) find(path string) *node {
	for _, c := range slices.Concat(n.members, n.items) {
		if rest, ok := strings.CutPrefix(path, c.path()); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return c.find(path)
		}
	}
	return n
}
