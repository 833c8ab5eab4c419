package e2e

import (
	"crypto/ed25519"
	"testing"

	"github.com/veraison/go-cose"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// resign takes the payload out of a signed reply and signs it with a key of
// the attacker's own.
func resign(t *testing.T, data []byte) []byte {
	t.Helper()
	var msg cose.Sign1Message
	if err := msg.UnmarshalCBOR(data); err != nil {
		return data // an answer without a signature
	}
	reply, err := protocol.DecodeReply(msg.Payload)
	must(t, err)
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	forged, err := sign.Sign(key, reply)
	must(t, err)
	return forged
}
