package protocol_test

import (
	"crypto/ed25519"

	"github.com/agent-launcher/agent-launcher/protocol"
)

func replyMutations() []mutation {
	return []mutation{
		{"success", "success", "two refs, one pinned", bend(func(*scene) {})},
		{"success-empty", "success", "an agent without secret refs", bend(func(s *scene) {
			s.request.Agents[0].Bindings, s.values = nil, nil
			s.answer()
		})},
		{"success-null-refs", "success", "no refs, written as null", func(s *scene) []byte {
			s.request.Agents[0].Bindings, s.values = nil, nil
			m := s.bundle().Meta
			m.Refs = nil
			s.reply.Agents[0].Bundle = sealUnchecked(s.t, s.public, m, "", make([]byte, 32))
			return s.sign()
		}},
		{"success-unchanged", "success", "the bundle that the host offered still holds", bend(func(s *scene) {
			s.request.Agents[0].BundleID, s.values = "bundle-0", nil
			s.reply.Agents[0] = protocol.AgentReply{AgentID: "agent-1", Unchanged: "bundle-0"}
		})},
		{"success-refused", "success", "a refusal is a good reply", bend(func(s *scene) {
			s.values = nil
			s.reply.Agents[0] = protocol.AgentReply{AgentID: "agent-1", Errors: []protocol.RefError{{Code: protocol.CodeDisabled, Name: "API_KEY", SecretID: "secret-1"}}}
		})},
		{"foreign-signer", "signature", "signed by another control plane", bend(func(s *scene) {
			_, key, err := ed25519.GenerateKey(nil)
			check(s.t, err)
			s.signer = key
		})},
		{"signed-for-other-purpose", "signature", "the pinned key signed this for something else", func(s *scene) []byte {
			return s.signFor("agent-launcher something else", s.payload(), nil)
		}},
		{"flip-signature", "signature", "one bit of the signature", wire(func(b []byte) []byte { return flipped(b, -1) })},
		{"flip-payload", "signature", "one bit of the payload", wire(func(b []byte) []byte { return flipped(b, len(b)/2) })},
		{"replayed-reply", "nonce", "the honest answer to an earlier request", func(s *scene) []byte {
			old := s.sign()
			s.request.Nonce = nonce()
			return old
		}},
		{"replayed-bundle", "nonce", "an earlier bundle, and with it older versions, in a fresh reply", bend(func(s *scene) {
			old := s.bundle()
			s.request.Nonce = nonce()
			s.answer()
			s.reply.Agents[0].Bundle = old
		})},
		{"other-host", "mismatch", "a reply to another host", bend(func(s *scene) { s.reply.HostID = "host-2" })},
		{"other-agent", "mismatch", "an answer for another agent", bend(func(s *scene) { s.reply.Agents[0].AgentID = "agent-2" })},
		{"bundle-of-other-agent", "mismatch", "another agent's bundle under this agent's name", bend(func(s *scene) { s.bundle().Meta.AgentID = "agent-2" })},
		{"bundle-of-other-company", "mismatch", "", bend(func(s *scene) { s.bundle().Meta.CompanyID = "company-2" })},
		{"bundle-of-other-host", "mismatch", "", bend(func(s *scene) { s.bundle().Meta.HostID = "host-2" })},
		{"agent-missing", "mismatch", "fewer answers than questions", bend(func(s *scene) {
			s.request.Agents = append(s.request.Agents, protocol.AgentRequest{AgentID: "agent-2", CompanyID: "company-1"})
		})},
		{"unchanged-never-offered", "mismatch", "unchanged for a bundle that the host does not have", bend(func(s *scene) {
			s.reply.Agents[0] = protocol.AgentReply{AgentID: "agent-1", Unchanged: "bundle-0"}
		})},
		{"ref-missing", "mismatch", "one of two refs", bend(func(s *scene) { s.values = s.values[:1]; s.answer() })},
		{"ref-of-other-secret", "mismatch", "", bend(func(s *scene) { s.values[0].SecretID = "secret-9"; s.answer() })},
		{"ref-of-other-version", "mismatch", "pinned to 1, version 2 delivered", bend(func(s *scene) { s.values[1].Version = 2; s.answer() })},
	}
}
