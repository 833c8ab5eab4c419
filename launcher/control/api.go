// Package control is the operator's way to a running daemon: HTTP over a unix
// socket. The types here are the wire format of `status --json`; Client is
// what the commands use, Server what the daemon serves.
package control

import (
	"encoding/json"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// Status is the daemon at a glance.
type Status struct {
	Version      string       `json:"version"`
	PID          int          `json:"pid"`
	StartedAt    time.Time    `json:"startedAt"`
	Config       Config       `json:"config"`
	Drained      bool         `json:"drained,omitempty"` // no heartbeat starts
	ControlPlane ControlPlane `json:"controlPlane"`
	Keeper       Keeper       `json:"keeper"`
	Plugins      []Plugin     `json:"plugins"`
	Agents       []Agent      `json:"agents"`
	Problems     []string     `json:"problems"` // adapter files that were never valid
	Notes        []string     `json:"notes"`    // what this build or host does not protect
}

// Config says which configuration holds.
type Config struct {
	File     string    `json:"file"`
	LoadedAt time.Time `json:"loadedAt"`
	Error    string    `json:"error,omitempty"` // of the last reload, whose config was refused
}

// ControlPlane says whether bundles can be had.
type ControlPlane struct {
	URL         string     `json:"url"`
	HostID      string     `json:"hostId"`
	Reachable   bool       `json:"reachable"`
	Since       time.Time  `json:"since"`
	LastError   string     `json:"lastError,omitempty"`
	Attempts    int        `json:"attempts"` // since it became unreachable
	NextAttempt *time.Time `json:"nextAttempt,omitempty"`
	Requests    int64      `json:"requests"`
}

// Keeper is the parent of all agents.
type Keeper struct {
	Socket    string `json:"socket"`
	PID       int    `json:"pid"`                // 0: not connected
	Separated bool   `json:"separated"`          // whether it is another's than the daemon's own child
	Enforces  string `json:"enforces,omitempty"` // for an agent of profile workspace
	Masker    string `json:"masker,omitempty"`   // what confines the masker
	NoCgroup  string `json:"noCgroup,omitempty"` // why agents have no cgroup of their own
	Error     string `json:"error,omitempty"`    // why it is not connected
}

// Plugin is an adapter plugin; PID is 0 until its first use.
type Plugin struct {
	Type    string `json:"type"`
	PID     int    `json:"pid"`
	User    string `json:"user,omitempty"`    // who it runs as
	Sandbox string `json:"sandbox,omitempty"` // what the kernel enforces
	SHA256  string `json:"sha256,omitempty"`  // of what runs
	Pinned  bool   `json:"pinned,omitempty"`
	Error   string `json:"error,omitempty"` // why it does not run, or why the new version of its file does not
}

// Agent is one agent at a glance.
type Agent struct {
	Name          string       `json:"name"`
	ID            string       `json:"id"`
	CompanyID     string       `json:"companyId"`
	AdapterType   string       `json:"adapterType"`
	User          string       `json:"user,omitempty"`
	State         string       `json:"state"`   // see AgentState
	Sandbox       string       `json:"sandbox"` // its profile; run and lastRun say what the kernel enforces
	LastHeartbeat *Heartbeat   `json:"lastHeartbeat,omitempty"`
	NextHeartbeat *time.Time   `json:"nextHeartbeat,omitempty"`
	Run           *runs.Record `json:"run,omitempty"`     // in progress
	LastRun       *runs.Record `json:"lastRun,omitempty"` // done
	Coalesced     int64        `json:"coalesced"`         // triggers that joined a pending heartbeat
	Crashes       int          `json:"crashes,omitempty"` // of a service: how often its process ended since it was healthy
	ConfigError   string       `json:"configError,omitempty"`
	WaitsFor      string       `json:"waitsFor,omitempty"` // in state waiting: the agent whose run must end first, or ForPlace
}

// ForPlace is what an agent waits for when as many runs go on as may.
const ForPlace = "heartbeat.maxRuns"

// The states of an agent.
const (
	StateIdle      = "idle"      // waits for its next heartbeat
	StateWaiting   = "waiting"   // for the end of another run: of the same agent id under another file's name, or of any
	StatePlanning  = "planning"  // its adapter says what to run
	StateResolving = "resolving" // waits for the control plane
	StateRunning   = "running"
	StateStopping  = "stopping" // its run is being ended
	StateBackoff   = "backoff"  // a service that ended, or did not start, pauses
	StateHeld      = "held"     // an operator stopped it; wake lets it go
	StateDrained   = "drained"  // the whole host is; drain --end lets it go
	StateDisabled  = "disabled" // its heartbeat is off; only wake starts it
	StateRetiring  = "retiring" // its file is gone; it ends after this run
)

// Heartbeat is the outcome of one pass.
type Heartbeat struct {
	At      time.Time `json:"at"`
	Trigger string    `json:"trigger"`
	RunID   string    `json:"runId,omitempty"` // empty: nothing was started
	Error   string    `json:"error,omitempty"` // why it was skipped or failed
}

// Wake is the body of a wake. All of it may be left out.
type Wake struct {
	Task    string          `json:"task,omitempty"`    // what the run is about: sessions are kept per task; at most MaxTask bytes
	Context json.RawMessage `json:"context,omitempty"` // what its adapter shall know beside: one JSON object
}

// Bounds of a Wake, in bytes.
const (
	MaxTask    = 200
	MaxContext = 256 << 10
)

// Woken answers a wake. Heartbeat and Run are set if the caller waited.
type Woken struct {
	Agent     string       `json:"agent"`
	Heartbeat *Heartbeat   `json:"heartbeat,omitempty"`
	Run       *runs.Record `json:"run,omitempty"`
}

// Error is the body of every answer that is not 200.
type Error struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}
