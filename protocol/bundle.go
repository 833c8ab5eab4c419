package protocol

import (
	"errors"
	"fmt"
)

// Ref is one delivered secret ref: what the control plane sealed under Name.
type Ref struct {
	_        struct{} `cbor:",toarray"`
	Name     string
	SecretID string
	Version  uint32 // 1, 2, 3 ...
	Length   uint32 // of the value, bytes
}

// Meta is the readable metadata of a bundle. Its deterministic encoding is
// the additional data of the content encryption and part of the HPKE info, so
// a bundle opens only with exactly this metadata.
type Meta struct {
	_         struct{} `cbor:",toarray"`
	Protocol  uint
	BundleID  string
	CompanyID string
	AgentID   string
	HostID    string
	KeyID     []byte // of the host key it is sealed to, KeyIDSize bytes
	Nonce     []byte // of the request that produced it, NonceSize bytes
	ExpiresAt int64  // Unix seconds
	Refs      []Ref  // ascending by name, no name twice
}

// Bundle is all secret values of one agent for one heartbeat, sealed as one
// message.
type Bundle struct {
	Meta   Meta   `cbor:"1,keyasint"`
	Sealed []byte `cbor:"2,keyasint"` // COSE_Encrypt, see Envelope
}

// PlaintextSize is the length in bytes of the sealed environment block
// NAME=value\0NAME=value\0...
func (m *Meta) PlaintextSize() int {
	n := 0
	for _, r := range m.Refs {
		n += len(r.Name) + 1 + int(r.Length) + 1
	}
	return n
}

// Validate reports the first thing that is wrong with the metadata by itself.
func (m *Meta) Validate() error {
	if m.Protocol != Version {
		return fmt.Errorf("bundle of protocol version %d: this side speaks %d", m.Protocol, Version)
	}
	if err := errors.Join(checkID("bundle", m.BundleID), checkID("company", m.CompanyID),
		checkID("agent", m.AgentID), checkID("host", m.HostID)); err != nil {
		return err
	}
	if len(m.KeyID) != KeyIDSize || len(m.Nonce) != NonceSize {
		return fmt.Errorf("key id of %d and nonce of %d bytes, want %d and %d", len(m.KeyID), len(m.Nonce), KeyIDSize, NonceSize)
	}
	if len(m.Refs) > MaxRefs {
		return fmt.Errorf("%d refs, limit %d", len(m.Refs), MaxRefs)
	}
	last := ""
	for _, r := range m.Refs {
		if err := CheckEnvName(r.Name); err != nil {
			return err
		}
		if r.Name <= last {
			return fmt.Errorf("%s: names must ascend and none may come twice", r.Name)
		}
		last = r.Name
		if err := checkID("secret", r.SecretID); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		if r.Version == 0 || r.Length == 0 || r.Length > MaxValueSize {
			return fmt.Errorf("%s: version %d, length %d", r.Name, r.Version, r.Length)
		}
	}
	if n := m.PlaintextSize(); n > MaxPlaintextSize {
		return fmt.Errorf("environment block of %d bytes, limit %d", n, MaxPlaintextSize)
	}
	return nil
}

// Validate checks the metadata and that the sealed part has a plausible size.
func (b *Bundle) Validate() error {
	if err := b.Meta.Validate(); err != nil {
		return err
	}
	if n := len(b.Sealed); n == 0 || n > MaxPlaintextSize+4096 {
		return fmt.Errorf("sealed part of %d bytes", n)
	}
	return nil
}
