package protocol_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// The messages as docs/protocol.md writes them, in plain maps and arrays, are
// those of the code to the last byte. sealUnchecked is the same for the sealed
// part.
func TestAsDocumented(t *testing.T) {
	s := newScene(t)
	type m = map[int]any
	type l = []any
	meta := &s.bundle().Meta
	metadata := l{1, "bundle-1", "company-1", "agent-1", "host-1", protocol.KeyID(s.public), s.request.Nonce, vectorTime + 86400,
		l{l{"API_KEY", "secret-1", 2, 12}, l{"DATABASE_URL", "secret-2", 1, 6}}}
	q := s.request
	q.Agents = append(q.Agents, protocol.AgentRequest{AgentID: "agent-2", CompanyID: "company-1", BundleID: "bundle-0"}, protocol.AgentRequest{AgentID: "agent-3", CompanyID: "company-1"})
	s.reply.Agents = append(s.reply.Agents, protocol.AgentReply{AgentID: "agent-2", Unchanged: "bundle-0"},
		protocol.AgentReply{AgentID: "agent-3", Errors: []protocol.RefError{
			{Code: protocol.CodeVersionNotFound, Name: "A", SecretID: "secret-3", Version: 9, Message: "words"}, {Code: protocol.CodeInternal}}})
	reply := m{1: 1, 2: q.Nonce, 3: "host-1", 4: vectorTime, 5: l{
		m{1: "agent-1", 2: m{1: metadata, 2: s.bundle().Sealed}},
		m{1: "agent-2", 3: "bundle-0"},
		m{1: "agent-3", 4: l{m{1: "version_not_found", 2: "A", 3: "secret-3", 4: 9, 5: "words"}, m{1: "internal"}}},
	}}
	recipient := m{1: -65793, 4: protocol.KeyID(s.public)}
	for _, c := range []struct {
		name string
		code any
		docs any
	}{
		{"request", q, m{1: 1, 2: q.Nonce, 3: l{
			m{1: "agent-1", 2: "company-1", 3: l{l{"API_KEY", "secret-1", 0}, l{"DATABASE_URL", "secret-2", 1}}},
			m{1: "agent-2", 2: "company-1", 4: "bundle-0"},
			m{1: "agent-3", 2: "company-1"},
		}}},
		{"metadata", meta, metadata},
		{"reply", s.reply, reply},
	} {
		if got, want := must(t)(protocol.Marshal(c.code)), must(t)(protocol.Marshal(c.docs)); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%x, documented is\n%x", c.name, got, want)
		}
	}
	encoded := must(t)(protocol.Marshal(metadata))
	for _, c := range []struct {
		name string
		code func(*protocol.Meta) ([]byte, error)
		docs any
	}{
		{"additional data", protocol.ContentAAD, l{"Encrypt", unhex(t, "a10103"), encoded}},
		{"HPKE info", protocol.RecipientInfo, l{"HPKE Recipient", 3, must(t)(protocol.Marshal(recipient)), encoded}},
	} {
		if got, want := must(t)(c.code(meta)), must(t)(protocol.Marshal(c.docs)); !bytes.Equal(got, want) {
			t.Errorf("%s:\n%x, documented is\n%x", c.name, got, want)
		}
	}
	payload := must(t)(protocol.Marshal(reply))
	toBeSigned := must(t)(protocol.Marshal(l{"Signature1", unhex(t, "a10127"), []byte("agent-launcher resolve reply 1"), payload}))
	signature := ed25519.Sign(s.signer, toBeSigned)
	want := append([]byte{0xd2}, must(t)(protocol.Marshal(l{unhex(t, "a10127"), m{}, payload, signature}))...)
	if got := must(t)(sign.Sign(s.signer, s.reply)); !bytes.Equal(got, want) { // Ed25519 is deterministic
		t.Errorf("signed reply:\n%x, documented is\n%x", got, want)
	}
}

func unhex(t *testing.T, s string) []byte { return must(t)(hex.DecodeString(s)) }
