// Package keys is the control plane's cryptography at rest: the master key,
// the data key of each secret, the encrypted values, and the key that signs
// replies. It stores nothing but key files and knows no database; sealing to
// hosts is protocol/seal's.
//
// A value is encrypted with its secret's data key, the data key with the
// master key, both with AES-256-GCM and a random nonce. The additional data
// name company, secret and version, so a ciphertext that is moved to another
// row does not open.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// ErrNotOpen is the class of every failed decryption: another key, another
// row, or altered bytes. No error says more.
var ErrNotOpen = errors.New("does not decrypt: another master key, or altered data")

// Size of the master key and of data keys in bytes.
const Size = 32

// What a ciphertext is, the first element of its additional data.
const (
	kindDataKey = "agent-launcher data key 1"
	kindValue   = "agent-launcher value 1"
	kindCheck   = "agent-launcher master key check 1"
)

// ID names one version of one secret of one company.
type ID struct {
	Company, Secret string
	Version         uint32
}

// Master wraps data keys. It prints as nothing.
type Master struct {
	aead func() cipher.AEAD
}

// NewMaster makes a Master of a key of Size bytes, which is not retained.
func NewMaster(key []byte) (*Master, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	return &Master{aead: func() cipher.AEAD { return aead }}, nil
}

// String hides the key from every fmt verb.
func (Master) String() string { return "master key" }

// Check returns a ciphertext that proves in Verify, on a later start, that
// the master key is still the same.
func (m *Master) Check() ([]byte, error) {
	aad, err := protocol.Marshal([]any{kindCheck})
	if err != nil {
		return nil, err
	}
	return m.aead().Seal(nil, nil, nil, aad), nil
}

// Verify reports ErrNotOpen if check was made with another master key.
func (m *Master) Verify(check []byte) error {
	aad, err := protocol.Marshal([]any{kindCheck})
	if err != nil {
		return err
	}
	if _, err := m.aead().Open(nil, nil, check, aad); err != nil {
		return ErrNotOpen
	}
	return nil
}

// NewDataKey makes a random data key for a secret and returns it wrapped.
func (m *Master) NewDataKey(company, secret string) ([]byte, error) {
	aad, err := protocol.Marshal([]any{kindDataKey, company, secret})
	if err != nil {
		return nil, err
	}
	key := make([]byte, Size)
	defer clear(key)
	rand.Read(key) // never fails: crypto/rand aborts the process instead
	return m.aead().Seal(nil, nil, key, aad), nil
}

// Encrypt encrypts a value with the wrapped data key of its secret.
func (m *Master) Encrypt(id ID, wrapped, value []byte) ([]byte, error) {
	aead, aad, err := m.dataKey(id, wrapped)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, value, aad), nil
}

// Decrypt is the reverse of Encrypt. The caller wipes what it returns. The
// error is ErrNotOpen unless the key itself cannot be used.
func (m *Master) Decrypt(id ID, wrapped, ciphertext []byte) ([]byte, error) {
	aead, aad, err := m.dataKey(id, wrapped)
	if err != nil {
		return nil, err
	}
	value, err := aead.Open(nil, nil, ciphertext, aad)
	if err != nil {
		return nil, ErrNotOpen
	}
	return value, nil
}

// dataKey unwraps a data key and returns it with the additional data of the
// value id.
func (m *Master) dataKey(id ID, wrapped []byte) (cipher.AEAD, []byte, error) {
	keyAAD, err := protocol.Marshal([]any{kindDataKey, id.Company, id.Secret})
	if err != nil {
		return nil, nil, err
	}
	key, err := m.aead().Open(nil, nil, wrapped, keyAAD)
	defer clear(key)
	if err != nil {
		return nil, nil, ErrNotOpen
	}
	aead, err := newAEAD(key)
	if err != nil {
		return nil, nil, err
	}
	aad, err := protocol.Marshal([]any{kindValue, id.Company, id.Secret, id.Version})
	return aead, aad, err
}

// newAEAD: the nonce is random and travels in front of the ciphertext. Under
// one key 2^32 messages are safe (NIST SP 800-38D 8.3): versions of one
// secret, or secrets of one control plane.
func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != Size {
		return nil, fmt.Errorf("key of %d bytes, want %d", len(key), Size)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
