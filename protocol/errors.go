package protocol

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// What can be wrong with a reply that decodes.
var (
	// ErrSignature: not signed by the pinned key.
	ErrSignature = errors.New("signature does not verify with the pinned signing key")
	// ErrNonce: signed, but the answer to another request.
	ErrNonce = errors.New("nonce is not the one of this request: a replayed reply")
	// ErrKeyID: sealed to another host key, or with an unknown algorithm.
	ErrKeyID = errors.New("bundle is sealed to another host key")
	// ErrMismatch: signed and fresh, but not what was asked for.
	ErrMismatch = errors.New("reply does not match the request")
)

// Code says why the control plane does not resolve an agent or one of its refs.
type Code string

// The codes. Those in the first group concern the agent, those in the second
// one ref.
const (
	CodeAgentNotFound Code = "agent_not_found" // no such agent, or another company's
	CodeNotAssigned   Code = "not_assigned"    // the agent is not assigned to this host
	CodeAgentDisabled Code = "agent_disabled"  // the agent is paused, terminated ...
	CodeTooLarge      Code = "too_large"       // more than a bundle or a reply can hold

	CodeNotFound        Code = "not_found"         // no such secret, or deleted
	CodeDenied          Code = "denied"            // the agent's record does not bind this ref
	CodeDisabled        Code = "disabled"          // the secret is not active
	CodeVersionNotFound Code = "version_not_found" // the pinned version does not exist
	CodeInternal        Code = "internal"          // the control plane failed; the agent is not at fault
)

// RefError is one reason why an agent cannot be resolved. Name, SecretID and
// Version are empty where the reason concerns the agent as a whole.
type RefError struct {
	Code     Code     `cbor:"1,keyasint"`
	Name     string   `cbor:"2,keyasint,omitempty"`
	SecretID string   `cbor:"3,keyasint,omitempty"`
	Version  Selector `cbor:"4,keyasint,omitempty"`
	Message  string   `cbor:"5,keyasint,omitempty"`
}

func (e *RefError) validate() error {
	if e.Code == "" || len(e.Code) > MaxIDLen || len(e.Name) > MaxNameLen || len(e.SecretID) > MaxIDLen || len(e.Message) > MaxMessageLen {
		return errors.New("refusal without a code, or with a part beyond its limit")
	}
	return nil
}

// Error names the ref and the reason, in printable characters alone: it is
// written to logs and terminals, and the words come from elsewhere.
func (e *RefError) Error() string {
	var b strings.Builder
	if e.Name != "" {
		fmt.Fprintf(&b, "%s (secret %s, version %s): ", e.Name, e.SecretID, e.Version)
	}
	b.WriteString(string(e.Code))
	if e.Message != "" {
		b.WriteString(": " + e.Message)
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, b.String())
}

// AgentError is the control plane's refusal of one agent: every reason it gave.
type AgentError struct {
	AgentID string
	Refs    []RefError
}

// Error lists every reason.
func (e *AgentError) Error() string {
	parts := make([]string, len(e.Refs))
	for i := range e.Refs {
		parts[i] = e.Refs[i].Error()
	}
	return strings.Join(parts, "; ")
}
