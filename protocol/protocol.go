// Package protocol defines what the control plane, the daemon and the stage
// say to one another: the messages of a resolve, the bundle and its metadata,
// their strict CBOR encoding and the rules for names.
//
// It holds no plaintext and no private key. Sealing is in protocol/seal,
// opening in protocol/open (imported by the stage alone), signatures in
// protocol/sign. docs/protocol.md has the CDDL and the exact bytes that are
// covered by signature and seal.
package protocol

// Version is the protocol version, part of every message and of everything
// that is signed or sealed.
const Version = 1

// Sizes. Everything that arrives is bounded before it is decoded.
const (
	NonceSize = 32 // bytes
	KeyIDSize = 16 // bytes: SHA-256 of the host's public key, truncated

	// MaxAgents is the number of agents in one resolve request.
	MaxAgents = 256
	// MaxRefs is the number of secret refs of one agent.
	MaxRefs = 256
	// maxItems is the longest array of a message of a resolve.
	maxItems = max(MaxAgents, MaxRefs)
	// MaxNameLen is the length of an env name in bytes.
	MaxNameLen = 255
	// MaxIDLen is the length of any id in bytes.
	MaxIDLen = 128
	// MaxMessageLen is the length of a refusal's words in bytes.
	MaxMessageLen = 1024
	// MaxValueSize is the size of one secret value in bytes, as the control
	// plane stores it. execve(2) delivers less: see sandbox.
	MaxValueSize = 1 << 20
	// MinMasked is the size in bytes from which a value is masked in output.
	MinMasked = 8
	// MaxPlaintextSize bounds the environment block of one bundle. execve(2)
	// takes 2 MiB with the usual stack limit of 8 MiB (stack/4), so more can
	// never be delivered.
	MaxPlaintextSize = 2 << 20
	// MaxRequestSize bounds an encoded resolve request.
	MaxRequestSize = 8 << 20
	// MaxReplySize bounds an encoded, signed resolve reply. The control plane
	// answers CodeTooLarge for agents whose bundles no longer fit.
	MaxReplySize = 64 << 20
)

// ContentType is the media type of resolve requests and replies.
const ContentType = "application/cbor"
