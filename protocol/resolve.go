package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strconv"
)

// Selector is the version that a binding asks for: 0 is "latest", otherwise
// the pinned version.
type Selector uint32

// Latest selects the newest version at the time of the resolve.
const Latest Selector = 0

// String is the form used in adapter files and on the control plane: "latest"
// or the number.
func (s Selector) String() string {
	if s == Latest {
		return "latest"
	}
	return strconv.FormatUint(uint64(s), 10)
}

// Binding is one env name with its secret ref.
type Binding struct {
	_        struct{} `cbor:",toarray"`
	Name     string
	SecretID string
	Version  Selector
}

// ResolveRequest asks for the bundles of all agents of one host that are due
// now. The host is named by the URL and proven by the host token.
type ResolveRequest struct {
	Protocol uint           `cbor:"1,keyasint"`
	Nonce    []byte         `cbor:"2,keyasint"` // NonceSize random bytes
	Agents   []AgentRequest `cbor:"3,keyasint"`
}

// AgentRequest asks for one agent. No bindings means all of the record's.
type AgentRequest struct {
	AgentID   string    `cbor:"1,keyasint"`
	CompanyID string    `cbor:"2,keyasint"`
	Bindings  []Binding `cbor:"3,keyasint,omitempty"`
	// BundleID is the bundle that the host still has, if any: the control
	// plane may answer unchanged.
	BundleID string `cbor:"4,keyasint,omitempty"`
}

// ResolveReply is the payload of the signed reply, one entry per agent asked
// for, in the order of the request.
type ResolveReply struct {
	Protocol uint         `cbor:"1,keyasint"`
	Nonce    []byte       `cbor:"2,keyasint"` // the request's
	HostID   string       `cbor:"3,keyasint"`
	Time     int64        `cbor:"4,keyasint"` // Unix seconds, the control plane's clock
	Agents   []AgentReply `cbor:"5,keyasint"`
}

// AgentReply holds exactly one of Bundle, Unchanged and Errors.
type AgentReply struct {
	AgentID   string     `cbor:"1,keyasint"`
	Bundle    *Bundle    `cbor:"2,keyasint,omitempty"`
	Unchanged string     `cbor:"3,keyasint,omitempty"` // the bundle id that still holds
	Errors    []RefError `cbor:"4,keyasint,omitempty"`
}

// DecodeRequest decodes and validates a resolve request.
func DecodeRequest(data []byte) (*ResolveRequest, error) {
	var r ResolveRequest
	if err := decode(data, MaxRequestSize, maxItems, &r); err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return &r, nil
}

// DecodeReply decodes and validates a resolve reply, the payload of a
// signature that was verified.
func DecodeReply(data []byte) (*ResolveReply, error) {
	var r ResolveReply
	if err := decode(data, MaxReplySize, maxItems, &r); err != nil {
		return nil, err
	}
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return &r, nil
}

// Validate reports the first thing that is wrong with r.
func (r *ResolveRequest) Validate() error {
	if err := checkHead(r.Protocol, r.Nonce, len(r.Agents)); err != nil {
		return err
	}
	seen := make(map[string]bool, len(r.Agents))
	for _, a := range r.Agents {
		if seen[a.AgentID] {
			return fmt.Errorf("agent %q is asked for twice", a.AgentID)
		}
		seen[a.AgentID] = true
		if err := a.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (a *AgentRequest) validate() error {
	if err := errors.Join(checkID("agent", a.AgentID), checkID("company", a.CompanyID)); err != nil {
		return err
	}
	if len(a.BundleID) > MaxIDLen || len(a.Bindings) > MaxRefs {
		return fmt.Errorf("agent %q: bundle id or bindings exceed their limit", a.AgentID)
	}
	names := make(map[string]bool, len(a.Bindings))
	for _, b := range a.Bindings {
		if err := errors.Join(CheckEnvName(b.Name), checkID("secret", b.SecretID)); err != nil {
			return fmt.Errorf("agent %q: %w", a.AgentID, err)
		}
		if names[b.Name] {
			return fmt.Errorf("agent %q: %s is bound twice", a.AgentID, b.Name)
		}
		names[b.Name] = true
	}
	return nil
}

// Validate reports the first thing that is wrong with r by itself. Match
// compares it with the request it answers.
func (r *ResolveReply) Validate() error {
	if err := checkHead(r.Protocol, r.Nonce, len(r.Agents)); err != nil {
		return err
	}
	for i := range r.Agents {
		a := &r.Agents[i]
		if err := checkID("agent", a.AgentID); err != nil {
			return err
		}
		if err := a.validate(); err != nil {
			return fmt.Errorf("agent %q: %w", a.AgentID, err)
		}
	}
	return checkID("host", r.HostID)
}

func (a *AgentReply) validate() error {
	kinds := 0
	if a.Bundle != nil {
		kinds++
		if err := a.Bundle.Validate(); err != nil {
			return err
		}
	}
	if a.Unchanged != "" {
		kinds++
	}
	if len(a.Errors) > 0 {
		kinds++
	}
	for i := range a.Errors {
		if err := a.Errors[i].validate(); err != nil {
			return err
		}
	}
	if kinds != 1 {
		return fmt.Errorf("%d of bundle, unchanged and errors: want exactly one", kinds)
	}
	return nil
}

// Match reports why r does not answer q as host hostID: another nonce, host,
// agent or company, or an unchanged that was not offered.
func (r *ResolveReply) Match(q *ResolveRequest, hostID string) error {
	if !bytes.Equal(r.Nonce, q.Nonce) {
		return ErrNonce
	}
	if r.HostID != hostID {
		return fmt.Errorf("%w: reply is for host %q", ErrMismatch, r.HostID)
	}
	if len(r.Agents) != len(q.Agents) {
		return fmt.Errorf("%w: %d agents answered, %d asked for", ErrMismatch, len(r.Agents), len(q.Agents))
	}
	for i := range r.Agents {
		if err := r.Agents[i].match(&q.Agents[i], r); err != nil {
			return fmt.Errorf("agent %q: %w", q.Agents[i].AgentID, err)
		}
	}
	return nil
}

func (a *AgentReply) match(q *AgentRequest, r *ResolveReply) error {
	if a.AgentID != q.AgentID {
		return fmt.Errorf("%w: reply names agent %q", ErrMismatch, a.AgentID)
	}
	if a.Unchanged != "" && a.Unchanged != q.BundleID {
		return fmt.Errorf("%w: unchanged names bundle %q, the host has %q", ErrMismatch, a.Unchanged, q.BundleID)
	}
	if a.Bundle == nil {
		return nil
	}
	m := &a.Bundle.Meta
	switch {
	case m.AgentID != q.AgentID || m.CompanyID != q.CompanyID || m.HostID != r.HostID:
		return fmt.Errorf("%w: bundle is for agent %q of company %q on host %q", ErrMismatch, m.AgentID, m.CompanyID, m.HostID)
	case !bytes.Equal(m.Nonce, r.Nonce):
		return fmt.Errorf("bundle: %w", ErrNonce)
	}
	return matchBindings(q.Bindings, m.Refs)
}

// matchBindings checks that refs are those that were asked for, under the
// same names and, where pinned, in the same version. Asking for none accepts
// what the record holds.
func matchBindings(want []Binding, got []Ref) error {
	if len(want) == 0 {
		return nil
	}
	if len(want) != len(got) {
		return fmt.Errorf("%w: %d refs delivered, %d asked for", ErrMismatch, len(got), len(want))
	}
	sorted := append([]Binding(nil), want...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Name < sorted[j].Name })
	for i, b := range sorted {
		g := got[i]
		if g.Name != b.Name || g.SecretID != b.SecretID || b.Version != Latest && uint32(b.Version) != g.Version {
			return fmt.Errorf("%w: asked for %s (secret %s, version %s), got %s (secret %s, version %d)",
				ErrMismatch, b.Name, b.SecretID, b.Version, g.Name, g.SecretID, g.Version)
		}
	}
	return nil
}

func checkHead(version uint, nonce []byte, agents int) error {
	switch {
	case version != Version:
		return fmt.Errorf("protocol version %d: this side speaks %d", version, Version)
	case len(nonce) != NonceSize:
		return fmt.Errorf("nonce of %d bytes, want %d", len(nonce), NonceSize)
	case agents == 0 || agents > MaxAgents:
		return fmt.Errorf("%d agents, want 1 to %d", agents, MaxAgents)
	}
	return nil
}

func checkID(what, id string) error {
	if id == "" || len(id) > MaxIDLen {
		return fmt.Errorf("%s id of %d bytes, want 1 to %d", what, len(id), MaxIDLen)
	}
	return nil
}
