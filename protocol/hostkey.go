package protocol

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// Prefixes of the printed forms of keys. Each is one line of ASCII: the
// prefix, then base64url without padding.
const (
	// PublicKeyPrefix: the host's public key, 1216 bytes (ML-KEM-768 + X25519).
	PublicKeyPrefix = "agent-launcher-host-public-key-1:"
	// PrivateKeyPrefix: the host's private key, a seed of 32 bytes.
	PrivateKeyPrefix = "agent-launcher-host-private-key-1:"
	// SigningKeyPrefix: the control plane's public signing key, 32 bytes (Ed25519).
	SigningKeyPrefix = "agent-launcher-signing-key-1:"
)

// PublicKeySize is the size of a host's public key in bytes.
const PublicKeySize = 1216

// KeyID names a host key: SHA-256 of the public key's bytes, truncated.
func KeyID(publicKey []byte) []byte {
	sum := sha256.Sum256(publicKey)
	return sum[:KeyIDSize]
}

// FormatKey prints a public key as one line.
func FormatKey(prefix string, key []byte) string {
	return prefix + base64.RawURLEncoding.EncodeToString(key)
}

// ParseKey reads the printed form of a public key of size bytes. It never
// quotes its input: an operator may have pasted a private key.
func ParseKey(prefix, line string, size int) ([]byte, error) {
	name := strings.TrimSuffix(prefix, ":")
	if strings.HasPrefix(line, PrivateKeyPrefix) && prefix != PrivateKeyPrefix {
		return nil, fmt.Errorf("this is a private key: give the public %s line instead, and make a new key if this one has left its host", name)
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix)
	if !ok {
		return nil, fmt.Errorf("not a key line: it must begin with %s", prefix)
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || strings.ContainsAny(rest, "\r\n") { // which the decoder skips
		return nil, fmt.Errorf("%s: not base64url without padding", name)
	}
	if len(key) != size {
		return nil, fmt.Errorf("%s: %d bytes, want %d", name, len(key), size)
	}
	return key, nil
}
