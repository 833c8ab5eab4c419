// Package sign signs and verifies resolve replies: COSE_Sign1 (RFC 9052
// section 4.2) with Ed25519 and one pinned key. The control plane signs, fetch
// verifies; the stage needs neither.
package sign

import (
	"bytes"
	"crypto/ed25519"
	"fmt"

	"github.com/veraison/go-cose"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// context is the external_aad: a signature made for this purpose verifies for
// no other.
const context = "agent-launcher resolve reply 1"

// prefix begins every signed reply: tag 18 (COSE_Sign1), an array of four, the
// protected header {1: -8} (EdDSA), an empty unprotected header.
const prefix = "\xd2\x84\x43\xa1\x01\x27\xa0"

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
	return cose.Sign1(nil, signer, headers(), payload, []byte(context))
}

// headers is all that a signed reply says about itself: {1: -8} (EdDSA),
// protected.
func headers() cose.Headers {
	return cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmEdDSA}}
}

// Verify checks the signature with the pinned key, decodes the reply and
// checks that it answers q for hostID. Errors wrap protocol.ErrMalformed,
// ErrSignature, ErrNonce or ErrMismatch.
func Verify(key ed25519.PublicKey, data []byte, q *protocol.ResolveRequest, hostID string) (*protocol.ResolveReply, error) {
	if len(data) > protocol.MaxReplySize {
		return nil, fmt.Errorf("%w: %d bytes, limit %d", protocol.ErrMalformed, len(data), protocol.MaxReplySize)
	}
	payload, signature, err := take(data)
	if err != nil {
		return nil, err
	}
	verifier, err := cose.NewVerifier(cose.AlgorithmEdDSA, key)
	if err != nil {
		return nil, fmt.Errorf("cannot use pinned signing key: %w", err)
	}
	msg := cose.Sign1Message{Headers: headers(), Payload: payload, Signature: signature}
	if err := msg.Verify([]byte(context), verifier); err != nil {
		return nil, protocol.ErrSignature
	}
	reply, err := protocol.DecodeReply(payload)
	if err != nil {
		return nil, err
	}
	if err := reply.Match(q, hostID); err != nil {
		return nil, err
	}
	return reply, nil
}

// take takes a signed reply apart without believing it. There is one
// encoding, as everywhere: around the payload lie bytes that no signature
// covers, and a proxy could write there. go-cose's own decoder takes several
// encodings and builds whatever an unprotected header holds, up to 66 times
// its size, before anything is verified. Nothing is copied here.
func take(data []byte) (payload, signature []byte, err error) {
	rest, ok := bytes.CutPrefix(data, []byte(prefix))
	if ok {
		payload, rest, ok = byteString(rest)
	}
	if ok {
		signature, rest, ok = byteString(rest)
	}
	if !ok || len(rest) > 0 || len(payload) == 0 || len(signature) != ed25519.SignatureSize {
		return nil, nil, fmt.Errorf("%w: not a signed reply", protocol.ErrMalformed)
	}
	return payload, signature, nil
}

// byteString cuts a CBOR byte string off data, if it begins with one in its
// shortest encoding and not beyond 32 bits of length.
func byteString(data []byte) (s, rest []byte, ok bool) {
	if len(data) == 0 || data[0] < 0x40 || data[0] > 0x5a {
		return nil, nil, false
	}
	info, data := data[0]&0x1f, data[1:]
	n := uint64(info)
	if info >= 24 { // 1, 2 or 4 bytes of length follow
		size := 1 << (info - 24)
		if len(data) < size {
			return nil, nil, false
		}
		n = 0
		for _, b := range data[:size] {
			n = n<<8 | uint64(b)
		}
		if n < 24 || size > 1 && n>>(4*size) == 0 { // fits into fewer
			return nil, nil, false
		}
		data = data[size:]
	}
	if n > uint64(len(data)) {
		return nil, nil, false
	}
	return data[:n:n], data[n:], true
}
