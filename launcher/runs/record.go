// Package runs keeps what is known of every run: a record that is on disk
// before the agent may start, and the agent's output. It starts and stops
// nothing.
//
// Each run has two files below DIR/AGENT, both 0600: RUNID.jsonl, the record,
// one JSON line per change, of which the last complete line holds; and
// RUNID.log, the output. Run ids are UUIDs of version 7 (RFC 9562), so names
// sort by time. Nothing is ever renamed or rewritten: a kill -9 at any moment
// leaves no temporary file, at worst a last line that is cut and ignored.
package runs

import (
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// State is where a run stands.
type State string

// The states. A run moves downwards and never back.
const (
	Starting State = "starting" // the stage waits or works
	Running  State = "running"  // the agent runs
	Ended    State = "ended"    // it ended, see Exit
	Failed   State = "failed"   // it never became the agent, see Reason
	Lost     State = "lost"     // it ended while nobody watched
)

// Done reports whether nothing more will happen to the run.
func (s State) Done() bool { return s == Ended || s == Failed || s == Lost }

// Ref is a secret ref with the version that the run got. No value, ever.
type Ref struct {
	Name     string `json:"name"`
	SecretID string `json:"secretId"`
	Version  uint32 `json:"version"`
}

// Record is one run.
type Record struct {
	RunID       string     `json:"runId"`
	Agent       string     `json:"agent"` // name of the adapter file
	AgentID     string     `json:"agentId"`
	CompanyID   string     `json:"companyId"`
	Trigger     string     `json:"trigger"`
	Task        string     `json:"task,omitempty"` // what it is about, as whoever woke the agent calls it
	State       State      `json:"state"`
	Refs        []Ref      `json:"refs"`
	BundleID    string     `json:"bundleId,omitempty"`
	NotMaskable []string   `json:"notMaskable,omitempty"` // names of values that are too short to be masked in the output
	StaleSince  *time.Time `json:"staleSince,omitempty"`  // when the control plane confirmed the bundle last, if it did not for this run
	User        string     `json:"user,omitempty"`        // empty: the launcher's own
	Memory      string     `json:"memory,omitempty"`      // where the values lay before execve
	Sandbox     string     `json:"sandbox,omitempty"`     // what the kernel enforces
	PID         int        `json:"pid"`
	StartedAt   time.Time  `json:"startedAt"`
	Deadline    *time.Time `json:"deadline,omitempty"`
	GraceSec    float64    `json:"graceSec"`
	EndedAt     *time.Time `json:"endedAt,omitempty"`
	ExitCode    *int       `json:"exitCode,omitempty"`
	Signal      string     `json:"signal,omitempty"`
	SignalNo    int        `json:"signalNumber,omitempty"`
	Reason      string     `json:"reason,omitempty"` // why it was ended or did not start
	LogBytes    int64      `json:"logBytes"`
	LogLost     int64      `json:"logLost,omitempty"`  // bytes of output beyond the cap or a full disk
	Progress    string     `json:"progress,omitempty"` // what its adapter says that it does now
	Outcome     *Outcome   `json:"outcome,omitempty"`  // what its adapter makes of its output

	// What the adapter needs to read the output, should another daemon do it.
	Service     bool     `json:"service,omitempty"` // one long-lived process
	AdapterType string   `json:"adapterType,omitempty"`
	ConfigSum   string   `json:"configSum,omitempty"` // of the agent's file: whether a service has to be replaced
	Resumed     *Session `json:"resumed,omitempty"`
	Carry       []byte   `json:"carry,omitempty"` // see adapter.Plan
}

// Session is what an adapter wants to know again at the next run of a task.
type Session struct {
	ID    string `json:"id"`
	State []byte `json:"state,omitempty"` // the adapter's own
}

// Outcome is what a run came to. Usage and cost are its own, not its session's.
type Outcome struct {
	SessionID         string  `json:"sessionId,omitempty"`
	InputTokens       int64   `json:"inputTokens"`
	OutputTokens      int64   `json:"outputTokens"`
	CachedInputTokens int64   `json:"cachedInputTokens"`
	CostUSD           float64 `json:"costUsd,omitempty"` // absent: unknown
	Summary           string  `json:"summary,omitempty"` // what the agent said at the end
	Error             string  `json:"error,omitempty"`
	ErrorClass        string  `json:"errorClass,omitempty"` // see adapter.ErrorClass
}

// Shown is the record without what is an adapter's own.
func (r Record) Shown() *Record {
	r.Carry = nil
	if r.Resumed != nil {
		r.Resumed = &Session{ID: r.Resumed.ID}
	}
	return &r
}

// Refs are the delivered refs of a bundle.
func Refs(b *protocol.Bundle) []Ref {
	out := []Ref{}
	if b == nil {
		return out
	}
	for _, r := range b.Meta.Refs {
		out = append(out, Ref{Name: r.Name, SecretID: r.SecretID, Version: r.Version})
	}
	return out
}

// NotMaskable are the names of a bundle's values that the masker cannot know:
// those below protocol.MinMasked bytes.
func NotMaskable(b *protocol.Bundle) (names []string) {
	if b == nil {
		return nil
	}
	for _, r := range b.Meta.Refs {
		if r.Length < protocol.MinMasked {
			names = append(names, r.Name)
		}
	}
	return names
}
