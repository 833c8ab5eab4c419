package protocol_test

import (
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
)

func bundleMutations() []mutation {
	return append(envelopeMutations(), metaMutations()...)
}

// envelopeMutations are of the sealed part. It begins with 0x84 0x43 0xa1 0x01 0x03
// (protected header), 0xa1 0x05 0x4c (IV).
func envelopeMutations() []mutation {
	return []mutation{
		{"unknown-key-id", "key-id", "sealed to another host key", bend(func(s *scene) { s.public, _ = hostKey(s.t); s.answer() })},
		{"unknown-algorithm", "key-id", "the recipient names another algorithm", bend(func(s *scene) {
			s.envelope(func(e *protocol.Envelope) {
				var err error
				e.Recipients[0].Protected, err = protocol.Marshal(map[int]any{1: 35, 4: protocol.KeyID(s.public)})
				check(s.t, err)
			})
		})},
		{"unknown-content-algorithm", "malformed", "A128GCM", bend(func(s *scene) {
			s.envelope(func(e *protocol.Envelope) { e.Protected = []byte{0xa1, 0x01, 0x01} })
		})},
		{"two-recipients", "malformed", "", bend(func(s *scene) {
			s.envelope(func(e *protocol.Envelope) { e.Recipients = append(e.Recipients, e.Recipients[0]) })
		})},
		{"flip-encapsulated-key", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Recipients[0].Header.EK })},
		{"flip-content-key", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Recipients[0].Ciphertext })},
		{"flip-iv", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Header.IV })},
		{"flip-ciphertext", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Ciphertext[:1] })},
		{"flip-tag", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Ciphertext[len(e.Ciphertext)-1:] })},
		{"truncated-ciphertext", "not-open", "", bend(func(s *scene) {
			s.envelope(func(e *protocol.Envelope) { e.Ciphertext = e.Ciphertext[:len(e.Ciphertext)-1] })
		})},
		{"sealed-trailing-bytes", "malformed", "one byte behind the envelope", sealed(func(b []byte) []byte { return append(b, 0) })},
		{"sealed-tagged", "malformed", "an envelope with tag 96", sealed(func(b []byte) []byte { return append([]byte{0xd8, 96}, b...) })},
		{"sealed-long-length", "malformed", "the IV's length in two bytes", sealed(func(b []byte) []byte { return replaced(b, "\xa1\x05\x4c", "\xa1\x05\x58\x0c") })},
		{"sealed-indefinite-array", "malformed", "an envelope of indefinite length", sealed(func(b []byte) []byte {
			b[0] = 0x9f
			return append(b, 0xff)
		})},
		{"content-header", "malformed", "a parameter more beside the IV", sealed(func(b []byte) []byte { return replaced(b, "\xa1\x05\x4c", "\xa2\x04\x41\x00\x05\x4c") })},
		{"recipient-header", "malformed", "a parameter more beside the encapsulated key", sealed(func(b []byte) []byte {
			return replaced(b, "\xa1\x23\x59\x04\x60", "\xa2\x04\x41\x00\x23\x59\x04\x60")
		})},
		{"no-recipient", "malformed", "", bend(func(s *scene) { s.envelope(func(e *protocol.Envelope) { e.Recipients = []protocol.Recipient{} }) })},
		{"short-iv", "malformed", "11 bytes", bend(func(s *scene) { s.envelope(func(e *protocol.Envelope) { e.Header.IV = e.Header.IV[1:] }) })},
		{"short-encapsulated-key", "not-open", "1119 bytes", bend(func(s *scene) {
			s.envelope(func(e *protocol.Envelope) { e.Recipients[0].Header.EK = e.Recipients[0].Header.EK[1:] })
		})},
		{"short-content-key", "not-open", "a sealing party that uses AES-128", unchecked(16, "API_KEY=first\nline=\xff\x00DATABASE_URL=second\x00")},
		{"nul-in-value", "structure", "a sealing party that did not look", unchecked(32, "API_KEY=first\nline=\xff\x00DATABASE_URL=sec\x00nd\x00")},
		{"block-of-other-name", "structure", "the block holds another name than the metadata", unchecked(32, "XPI_KEY=first\nline=\xff\x00DATABASE_URL=second\x00")},
		{"block-without-equals", "structure", "a name runs on into its value", unchecked(32, "API_KEY_first\nline=\xff\x00DATABASE_URL=second\x00")},
		{"block-unterminated", "structure", "a value runs on into the next name", unchecked(32, "API_KEY=first\nline=\xff\nDATABASE_URL=second\x00")},
		{"block-cut-short", "structure", "the last value does not end", unchecked(32, "API_KEY=first\nline=\xff\x00DATABASE_URL=second.")},
	}
}

// metaMutations leave the sealed part as it is, or take a whole other one.
func metaMutations() []mutation {
	return []mutation{
		{"expired", "expired", "the host's clock is past the expiry", bend(func(s *scene) { s.now = vectorTime + 86400 })},
		{"swapped-binding", "not-open", "two names exchange their secrets in the metadata", bend(func(s *scene) {
			s.request.Agents[0].Bindings = nil // a host that asked for the record's
			r := s.bundle().Meta.Refs
			r[0].SecretID, r[1].SecretID = r[1].SecretID, r[0].SecretID
		})},
		{"names-exchanged", "not-open", "two values exchange their names in the metadata", bend(func(s *scene) {
			s.request.Agents[0].Bindings = nil
			r := s.bundle().Meta.Refs
			r[0].Name, r[1].Name = r[1].Name, r[0].Name
			r[0], r[1] = r[1], r[0] // ascending again
		})},
		{"version-changed", "not-open", "version 3 announced, version 2 sealed", bend(func(s *scene) { s.bundle().Meta.Refs[0].Version = 3 })},
		{"length-changed", "not-open", "one byte moves from one value to the other", bend(func(s *scene) {
			s.bundle().Meta.Refs[0].Length++
			s.bundle().Meta.Refs[1].Length--
		})},
		{"expiry-changed", "not-open", "a day longer", bend(func(s *scene) { s.bundle().Meta.ExpiresAt += 86400 })},
		{"bundle-id-changed", "not-open", "", bend(func(s *scene) { s.bundle().Meta.BundleID = "bundle-2" })},
		{"sealed-for-other-agent", "not-open", "another agent's sealed part under this agent's metadata", sealedFor(func(m *protocol.Meta) { m.AgentID = "agent-2" })},
		{"sealed-for-other-company", "not-open", "", sealedFor(func(m *protocol.Meta) { m.CompanyID = "company-2" })},
		{"sealed-for-other-host", "not-open", "to the same key", sealedFor(func(m *protocol.Meta) { m.HostID = "host-2" })},
		{"sealed-for-other-request", "not-open", "an earlier sealed part under fresh metadata", sealedFor(func(m *protocol.Meta) { m.Nonce = nonce() })},
		{"garbage-host-key", "key", "the key file holds something else", bend(func(s *scene) { s.private = "AGE-SECRET-KEY-1" })},
	}
}

// sealedFor puts the sealed part of another bundle under honest metadata.
func sealedFor(change func(*protocol.Meta)) func(*scene) []byte {
	return bend(func(s *scene) {
		m := s.meta()
		change(&m)
		b, err := seal.Seal(s.public, m, s.values)
		check(s.t, err)
		s.bundle().Sealed = b.Sealed
	})
}

// unchecked seals any block, with a content key of any size, under honest
// metadata.
func unchecked(keySize int, block string) func(*scene) []byte {
	return bend(func(s *scene) {
		s.reply.Agents[0].Bundle = sealUnchecked(s.t, s.public, s.bundle().Meta, block, make([]byte, keySize))
	})
}

func flipIn(part func(*protocol.Envelope) []byte) func(*scene) []byte {
	return bend(func(s *scene) { s.envelope(func(e *protocol.Envelope) { part(e)[0] ^= 1 }) })
}
