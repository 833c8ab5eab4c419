// Package sign signs and verifies resolve replies: COSE_Sign1 (RFC 9052
// section 4.2) with Ed25519 and one pinned key. The control plane signs, fetch
// verifies; the stage needs neither.
package sign

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// context is the external_aad: a signature made for this purpose verifies for
// no other.
const context = "agent-launcher resolve reply 1"

// Sign encodes reply and returns it as a tagged COSE_Sign1.
func Sign(key ed25519.PrivateKey, reply *protocol.ResolveReply) ([]byte, error) {
	payload, err := protocol.Marshal(reply)
	if err != nil {
		return nil, fmt.Errorf("cannot encode reply: %w", err)
	}
	signer, err := cose.NewSigner(cose.AlgorithmEdDSA, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use signing key: %w", err)
	}
	headers := cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmEdDSA}}
	return cose.Sign1(nil, signer, headers, payload, []byte(context))
}

// Verify checks the signature with the pinned key, decodes the reply and
// checks that it answers q for hostID. Errors wrap protocol.ErrMalformed,
// ErrSignature, ErrNonce or ErrMismatch.
func Verify(key ed25519.PublicKey, data []byte, q *protocol.ResolveRequest, hostID string) (*protocol.ResolveReply, error) {
	if len(data) > protocol.MaxReplySize {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", protocol.ErrMalformed, len(data), protocol.MaxReplySize)
	}
	var msg cose.Sign1Message
	if err := msg.UnmarshalCBOR(data); err != nil {
		return nil, fmt.Errorf("%w: not a signed reply", protocol.ErrMalformed)
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmEdDSA, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use pinned signing key: %w", err)
	}
	if err := msg.Verify([]byte(context), verifier); err != nil {
		return nil, protocol.ErrSignature
	}
	// Around the payload lie bytes that no signature covers, and a proxy could
	// write there: an unprotected header, longer forms of lengths. There is one
	// encoding, as everywhere.
	again, err := encode(msg.Payload, msg.Signature)
	if err != nil {
		return nil, fmt.Errorf("cannot encode signed reply: %w", err)
	}
	if !bytes.Equal(again, data) {
		return nil, fmt.Errorf("%w: unknown header parameters, or not in deterministic encoding", protocol.ErrMalformed)
	}
	reply, err := protocol.DecodeReply(msg.Payload)
	if err != nil {
		return nil, err
	}
	if err := reply.Match(q, hostID); err != nil {
		return nil, err
	}
	return reply, nil
}

// encode is the one encoding of a signed reply: tag 18, the protected header
// {1: -8} (EdDSA), an empty unprotected header, payload, signature.
func encode(payload, signature []byte) ([]byte, error) {
	protected, err := protocol.Marshal(map[int]int{1: int(cose.AlgorithmEdDSA)})
	if err != nil {
		return nil, err
	}
	return protocol.Marshal(cbor.Tag{Number: cose.CBORTagSign1Message, Content: []any{protected, map[int]int{}, payload, signature}})
}
