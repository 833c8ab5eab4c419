// Package adapter is the SDK for adapter plugins. An adapter turns one agent's
// configuration into what to run. It sees the names of the agent's secrets and
// never a value, and it starts nothing: the daemon does.
//
// A plugin is a program of its own, put into the daemon's pluginsDir under the
// name of its adapter type:
//
//	func main() { adapter.Serve(myAdapter{}) }
//
// The package imports nothing of the daemon. A plugin need not be written in
// Go: adapterpb/adapter.proto is the whole contract.
package adapter

import (
	"context"
	"encoding/json"
	"time"
)

// Adapter is what a plugin implements. Both methods are called from several
// goroutines at a time. A panic in one of them fails that call only.
type Adapter interface {
	// Describe says what the plugin is.
	Describe(context.Context) (Description, error)
	// Plan says what to run. It is called on every heartbeat and has a few
	// seconds, the deadline of ctx. Return *Problem, or several with
	// errors.Join, for what the operator can mend; any other error is shown as
	// it is.
	Plan(context.Context, PlanRequest) (Plan, error)
}

// EnvironmentTester is an Adapter that can tell whether this host has what a
// configuration needs. `agent-launcher check` asks it; heartbeats do not.
type EnvironmentTester interface {
	// TestEnvironment says what it found, good and bad. It has a few seconds,
	// the deadline of ctx. It runs as the plugin's user, who may see other files
	// than the agent's: say LevelError only for what no user could make good.
	// What it returns as an error is shown like checks of LevelError.
	TestEnvironment(context.Context, EnvironmentRequest) ([]Check, error)
}

// Description introduces a plugin.
type Description struct {
	// Type is the adapter type, equal to the plugin's file name:
	// [a-z0-9_]{1,64}.
	Type string
	// Version is the plugin's own, for people.
	Version string
	// Schema is a JSON Schema (draft 2020-12) of PlanRequest.Config.
	Schema json.RawMessage
	// Can lists what the plugin can do beside Plan. Serve fills it in.
	Can []string
}

// What Description.Can stands for.
const (
	CanTestEnvironment = "test_environment" // EnvironmentTester
	CanObserve         = "observe"          // Observer
)

// PlanRequest describes one run of one agent.
type PlanRequest struct {
	AgentID     string
	AgentName   string
	CompanyID   string
	RunID       string
	Trigger     string            // why there is a heartbeat: timer, wake, config, reload, request
	Config      json.RawMessage   // adapterConfig without env, timeoutSec and graceSec: one JSON object
	Env         map[string]string // the agent's plain variables
	SecretNames []string          // variables that will hold secrets
	Task        string            // what the run is about, as whoever woke the agent calls it; may be empty
	Wake        json.RawMessage   // what whoever woke the agent said beside: one JSON object; nil: nothing
	Session     *Session          // of the last run of this agent and task; nil: start afresh
}

// Session is what an adapter wants to know again at the next run of the same
// agent and task.
type Session struct {
	ID    string // the tool's own name of it, at most MaxSessionID bytes, shown to people
	State []byte // whatever else it needs, at most MaxState bytes; the daemon does not look into it
}

// Bounds of what the daemon keeps for an adapter, in bytes.
const (
	MaxSessionID = 256
	MaxState     = 64 << 10
)

// Plan says what to run. Its strings are UTF-8 without NUL bytes.
type Plan struct {
	// Argv[0] is an absolute path, or a name without a slash that is looked up
	// in the agent's PATH. There is no shell.
	Argv []string
	// Dir is the absolute working directory.
	Dir string
	// Env holds all plain variables of the agent: what is left out of
	// PlanRequest.Env the agent does not get. The daemon refuses names that
	// begin with PAPERCLIP_, names of secrets, and variables that steer a
	// loader or an interpreter unless the request had them with that value.
	Env map[string]string
	// Stdin is what the agent reads from its standard input.
	Stdin []byte
	// Needs is what of the sandbox the run cannot do without. It widens nothing:
	// the daemon refuses the plan if the agent's policy denies some of it.
	Needs Needs
	// Timeout stops the run, if the agent's timeoutSec is not shorter. 0: no
	// opinion.
	Timeout time.Duration
	// Carry is handed to Observe as it is, at most MaxState bytes.
	Carry []byte
}

// Needs are rights in the sandbox. Paths are absolute.
type Needs struct {
	Read, Write, Exec []string
	Network           bool
}

// EnvironmentRequest describes one agent, with the fields of PlanRequest.
type EnvironmentRequest struct {
	AgentID     string
	AgentName   string
	CompanyID   string
	Config      json.RawMessage
	Env         map[string]string
	SecretNames []string
}

// Level says how bad it is what a Check found.
type Level string

// The levels of a Check.
const (
	LevelInfo  Level = "info"  // good to know
	LevelWarn  Level = "warn"  // may keep the agent from running
	LevelError Level = "error" // will keep the agent from running
)

// Check is one thing that TestEnvironment found.
type Check struct {
	Level   Level
	Field   string // its place in the configuration, as in args[1]; empty: the whole
	Message string // what was found; it quotes no configuration, which may hold a secret
	Hint    string // what to do about it, if that is not obvious
}

// Problem is one thing in the configuration that keeps an agent from running.
type Problem struct {
	Field   string // its place in PlanRequest.Config, as in args[1]; empty: the whole
	Message string // what is wrong, in half a sentence: "must be absolute"
	Hint    string // what to do about it, if that is not obvious
}

// Error is field and message.
func (p *Problem) Error() string {
	if p.Field == "" {
		return p.Message
	}
	return p.Field + ": " + p.Message
}
