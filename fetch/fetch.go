// Package fetch gets bundles from where they come from. It verifies who signed
// a reply and that it answers the request; it never opens a bundle.
package fetch

import (
	"context"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Agent is what a bundle is asked for.
type Agent struct {
	ID        string
	CompanyID string
	Bindings  []protocol.Binding // none: all that the agent's record holds
}

// Source is where bundles come from.
type Source interface {
	// Resolve returns the agent's bundle as the control plane holds it now. While
	// the control plane fails it waits until ctx ends. A refusal is
	// *protocol.AgentError.
	Resolve(ctx context.Context, a Agent) (*protocol.Bundle, error)
	// Forget drops the bundle that is kept of an agent which is no more.
	Forget(agentID string)
	Status() Status
	Close()
}

// Status says whether bundles can be had.
type Status struct {
	Reachable   bool
	Since       time.Time // when Reachable last changed
	LastError   string    // of the last attempt, empty if it succeeded
	Attempts    int       // since the control plane became unreachable
	NextAttempt time.Time // zero: none is planned
	Requests    int64
}
