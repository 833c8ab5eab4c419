// Package fetch gets bundles from the control plane for the agents that are
// due, all of them in one request at a time. It verifies who signed a reply
// and that it answers exactly what was asked, keeps the last bundle of each
// agent, and waits politely while the control plane fails.
//
// It never opens a bundle, holds no host key and no value: what it keeps and
// returns is ciphertext. It does not decide when an agent is due, does not
// start anything and writes no log; Status says what there is to say.
package fetch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// ErrUnavailable says that the control plane gave no good answer in time.
var ErrUnavailable = errors.New("control plane unavailable")

// Agent is what a bundle is asked for.
type Agent struct {
	ID        string
	CompanyID string
	Bindings  []protocol.Binding // none: all that the agent's record holds
	// StaleGrace is for how long the last bundle may still be used, from when the
	// control plane confirmed it last, while the control plane fails. 0: not at all.
	StaleGrace time.Duration
}

// Resolved is a bundle and when the control plane confirmed that it holds: now,
// or earlier where StaleGrace let it be used.
type Resolved struct {
	*protocol.Bundle
	Confirmed time.Time
	Stale     bool // by StaleGrace
}

func (a Agent) equal(b Agent) bool {
	return a.ID == b.ID && a.CompanyID == b.CompanyID && slices.Equal(a.Bindings, b.Bindings)
}

// Source is where bundles come from. Its methods may be called at any time
// from any goroutine.
type Source interface {
	// Resolve returns the agent's bundle as the control plane holds it now.
	// Callers share the bundle and must not change it. While the control plane
	// fails Resolve waits; when ctx ends first, the error wraps its cause and
	// ErrUnavailable and says since when and why. A refusal is
	// *protocol.AgentError. With a StaleGrace it waits for one failed attempt at most,
	// if there is a bundle that may still be used; not if the control plane refuses
	// this host.
	Resolve(ctx context.Context, a Agent) (Resolved, error)
	// Watch calls changed soon after something may have changed at the control
	// plane, until ctx ends or the source is closed.
	Watch(ctx context.Context, changed func())
	// Forget drops the bundle that is kept of an agent which is no more. Calls
	// of Resolve for it must have ended, or their ctx.
	Forget(agentID string)
	// Status says whether bundles can be had.
	Status() Status
	// Close ends the source and every Resolve, and returns when nothing of it
	// runs any more. It may be called twice.
	Close()
}

// Status says whether bundles can be had.
type Status struct {
	Reachable   bool      // the last attempt got a good reply; false before the first
	Since       time.Time // when Reachable last changed, or the source was made
	Refused     bool      // by the last attempt: the control plane does not want this host (any more)
	LastError   string    // why the last attempt failed, printable; empty if it did not
	Attempts    int       // failed in a row since the control plane became unreachable
	NextAttempt time.Time // zero: none is planned, because nobody waits or nothing failed
	Requests    int64     // attempts in all, good and bad
}
