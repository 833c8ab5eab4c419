// Package seal makes bundles: the control plane's side, and in time that of
// the helper that serves hosts of a real Paperclip. It holds plaintext only
// between reading the values and wiping the block.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"crypto/rand"
	"fmt"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Value is one secret value with the ref it answers. Bytes is not retained.
type Value struct {
	Name     string
	SecretID string
	Version  uint32
	Bytes    []byte
}

// Seal seals values to the host's public key. meta names everything but the
// refs, the key id and the protocol version, which Seal fills in. Values must
// ascend by name and hold no NUL.
func Seal(publicKey []byte, meta protocol.Meta, values []Value) (*protocol.Bundle, error) {
	public, err := hpke.MLKEM768X25519().NewPublicKey(publicKey)
	if err != nil {
		return nil, fmt.Errorf("cannot use host public key: %w", err)
	}
	meta.Protocol, meta.KeyID, meta.Refs = protocol.Version, protocol.KeyID(publicKey), refs(values)
	if err := meta.Validate(); err != nil {
		return nil, fmt.Errorf("cannot seal bundle: %w", err)
	}
	block, err := envBlock(&meta, values)
	defer clear(block)
	if err != nil {
		return nil, err
	}
	sealed, err := sealBlock(public, &meta, block)
	if err != nil {
		return nil, fmt.Errorf("cannot seal bundle: %w", err)
	}
	return &protocol.Bundle{Meta: meta, Sealed: sealed}, nil
}

func refs(values []Value) []protocol.Ref {
	out := make([]protocol.Ref, len(values))
	for i, v := range values {
		out[i] = protocol.Ref{Name: v.Name, SecretID: v.SecretID, Version: v.Version, Length: uint32(min(len(v.Bytes), protocol.MaxValueSize+1))} // more is refused all the same
	}
	return out
}

// envBlock builds NAME=value\0... in one allocation, so that wiping it leaves
// no earlier copy behind.
func envBlock(meta *protocol.Meta, values []Value) ([]byte, error) {
	block := make([]byte, 0, meta.PlaintextSize())
	for _, v := range values {
		for _, c := range v.Bytes {
			if c == 0 {
				return block, fmt.Errorf("cannot seal %s: the value holds a NUL byte, which no environment can carry", v.Name)
			}
		}
		block = append(append(append(append(block, v.Name...), '='), v.Bytes...), 0)
	}
	return block, nil
}

func sealBlock(public hpke.PublicKey, meta *protocol.Meta, block []byte) ([]byte, error) {
	aad, err := protocol.ContentAAD(meta)
	if err != nil {
		return nil, err
	}
	key, iv := make([]byte, protocol.ContentKeySize), make([]byte, protocol.IVSize)
	defer clear(key)
	rand.Read(key) // never fails: crypto/rand aborts the process instead
	rand.Read(iv)
	aead, err := newGCM(key)
	if err != nil {
		return nil, err
	}
	recipient, err := wrapKey(public, meta, key)
	if err != nil {
		return nil, err
	}
	protected, err := protocol.ContentProtected()
	if err != nil {
		return nil, err
	}
	return protocol.Marshal(&protocol.Envelope{
		Protected:  protected,
		Header:     protocol.ContentHeader{IV: iv},
		Ciphertext: aead.Seal(nil, iv, block, aad),
		Recipients: []protocol.Recipient{*recipient},
	})
}

func wrapKey(public hpke.PublicKey, meta *protocol.Meta, key []byte) (*protocol.Recipient, error) {
	info, err := protocol.RecipientInfo(meta)
	if err != nil {
		return nil, err
	}
	ek, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, err
	}
	wrapped, err := sender.Seal(nil, key)
	if err != nil {
		return nil, err
	}
	protected, err := protocol.RecipientProtected(meta.KeyID)
	if err != nil {
		return nil, err
	}
	return &protocol.Recipient{Protected: protected, Header: protocol.RecipientHeader{EK: ek}, Ciphertext: wrapped}, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
