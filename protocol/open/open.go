// Package open opens bundles. Only the stage imports it: whoever does holds
// plaintext.
package open

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Why a bundle does not open. No error says more: it might quote a value.
var (
	ErrExpired   = errors.New("bundle has expired")
	ErrNotOpen   = errors.New("bundle does not open: it was made for another host, agent or request, or was altered")
	ErrStructure = errors.New("bundle's plaintext does not have the announced structure")
	ErrKey       = errors.New("not a host private key")
)

// Key is a host private key. It prints as nothing.
type Key struct {
	private func() hpke.PrivateKey
	id      []byte
}

// String hides the key from every fmt verb.
func (Key) String() string { return "host private key" }

// ParseKey reads the printed form of a private key. seed is scratch memory of
// 33 bytes or more, locked if the caller can: it receives the decoded seed and
// is wiped before ParseKey returns.
func ParseKey(line, seed []byte) (*Key, error) {
	prefix := protocol.PrivateKeyPrefix
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	if len(line) < len(prefix) || string(line[:len(prefix)]) != prefix {
		return nil, fmt.Errorf("%w: it must begin with %s", ErrKey, prefix)
	}
	enc := base64.RawURLEncoding.Strict()
	if enc.DecodedLen(len(line)-len(prefix)) != 32 {
		return nil, fmt.Errorf("%w: wrong length", ErrKey)
	}
	defer clear(seed)
	n, err := enc.Decode(seed, line[len(prefix):])
	if err != nil || n != 32 {
		return nil, fmt.Errorf("%w: not base64url", ErrKey)
	}
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed[:n])
	if err != nil {
		return nil, ErrKey
	}
	return &Key{private: func() hpke.PrivateKey { return private }, id: protocol.KeyID(private.PublicKey().Bytes())}, nil
}

// ID is the key id, KeyIDSize bytes.
func (k *Key) ID() []byte { return k.id }

// Open opens sealed into dst, whose capacity must be at least
// meta.PlaintextSize(), and returns the environment block NAME=value\0...,
// which lies in dst. meta is what the caller knows the bundle must be for; its
// key id is replaced by k's. After an error dst holds nothing of the block.
func Open(k *Key, meta protocol.Meta, sealed []byte, now time.Time, dst []byte) ([]byte, error) {
	meta.KeyID = k.id
	if err := meta.Validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	if now.Unix() >= meta.ExpiresAt {
		return nil, ErrExpired
	}
	envelope, err := protocol.DecodeEnvelope(sealed, k.id)
	if err != nil {
		return nil, err
	}
	size := meta.PlaintextSize()
	if len(envelope.Ciphertext) != size+protocol.TagSize || cap(dst) < size {
		return nil, ErrNotOpen
	}
	aead, err := unwrapKey(k, &meta, &envelope.Recipients[0])
	if err != nil {
		return nil, err
	}
	aad, err := protocol.ContentAAD(&meta)
	if err != nil {
		return nil, err
	}
	block, err := aead.Open(dst[:0:size], envelope.Header.IV, envelope.Ciphertext, aad)
	if err != nil {
		return nil, ErrNotOpen
	}
	if size > 0 && &block[0] != &dst[:1][0] {
		clear(block) // the AEAD allocated: the block is not in the caller's locked memory
		return nil, ErrStructure
	}
	if err := checkBlock(&meta, block); err != nil {
		clear(block)
		return nil, err
	}
	return block, nil
}

func unwrapKey(k *Key, meta *protocol.Meta, r *protocol.Recipient) (cipher.AEAD, error) {
	info, err := protocol.RecipientInfo(meta)
	if err != nil {
		return nil, err
	}
	recipient, err := hpke.NewRecipient(r.Header.EK, k.private(), hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	if err != nil {
		return nil, ErrNotOpen
	}
	key, err := recipient.Open(nil, r.Ciphertext)
	defer clear(key)
	if err != nil || len(key) != protocol.ContentKeySize {
		return nil, ErrNotOpen
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, ErrNotOpen
	}
	return cipher.NewGCM(block)
}

// checkBlock checks that the block is exactly the announced names with values
// of the announced lengths: no NUL inside, none missing at the end.
func checkBlock(meta *protocol.Meta, block []byte) error {
	for _, r := range meta.Refs {
		end := len(r.Name) + 1 + int(r.Length)
		if string(block[:len(r.Name)]) != r.Name || block[len(r.Name)] != '=' || block[end] != 0 {
			return ErrStructure
		}
		for _, c := range block[:end] {
			if c == 0 {
				return ErrStructure
			}
		}
		block = block[end+1:]
	}
	return nil
}
