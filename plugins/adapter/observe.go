package adapter

import (
	"context"
	"iter"
)

// Observer is an Adapter that understands what its agents print.
type Observer interface {
	// Observe reads the output of one run as it appears and says what the run came
	// to. It is called once per run, from a goroutine of its own, and lasts as long
	// as the run. Values that are secrets are masked, as [redacted:NAME]. An error
	// is shown as the run's; the run itself goes on.
	Observe(context.Context, *Observation) (Outcome, error)
}

// Observation is one run under observation.
type Observation struct {
	AgentID   string
	AgentName string
	CompanyID string
	RunID     string
	Task      string
	Session   *Session // that Plan was given
	Carry     []byte   // as Plan made it: what of the configuration matters here, for one

	// Lines yields the output, stdout and stderr as they came, a line at a time
	// without its end. It ends with the run. A line above MaxLine bytes is left out.
	Lines iter.Seq[[]byte]
	// Exit says how the run ended, once Lines has.
	Exit func() Exit
	// Progress says what the agent does now, in a line for people.
	Progress func(string)
}

// MaxLine bounds a line of output, in bytes.
const MaxLine = 8 << 20

// Exit is how a run ended.
type Exit struct {
	Code   int    // exit status, if Signal is 0
	Signal int    // what ended it, signal(7)
	Reason string // why the daemon ended it; empty: it ended by itself
}

// Outcome is what a run came to.
type Outcome struct {
	Session *Session // to resume next time; nil: there is nothing to resume
	Usage   Usage
	CostUSD float64 // of this run, not of its session, in US dollars; 0: unknown
	Summary string  // what the agent said at the end
	Error   string  // why the run failed, in a sentence; empty: it did not
	Class   ErrorClass
}

// Usage is of this run, not of its session.
type Usage struct {
	InputTokens, OutputTokens, CachedInputTokens int64
}

// ErrorClass is the kind of an Outcome's error.
type ErrorClass string

// The classes.
const (
	ErrorAuth       ErrorClass = "auth"       // the key is refused, or missing
	ErrorRateLimit  ErrorClass = "rate_limit" // too many requests
	ErrorOverloaded ErrorClass = "overloaded" // the service failed
	ErrorNetwork    ErrorClass = "network"    // the service was not reached
	ErrorTimeout    ErrorClass = "timeout"    // the run was stopped by its deadline
	ErrorLimit      ErrorClass = "limit"      // turns or budget are used up
	ErrorSession    ErrorClass = "session"    // the session cannot be resumed
	ErrorConfig     ErrorClass = "config"     // the tool refuses its configuration
	ErrorOther      ErrorClass = "other"
)
