package protocol_test

import (
	"bytes"
	"strings"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// encodingMutations are of the signed reply and of what it carries. The former
// begins with 0xd2 0x84 (tag 18, array of 4), 0x43 0xa1 0x01 0x27 (protected header),
// 0xa0 (unprotected header), 0x59 and two bytes (length of the payload).
func encodingMutations() []mutation {
	return []mutation{
		{"unprotected-header", "malformed", "a proxy adds a header parameter that no signature covers", wire(func(b []byte) []byte {
			// 0xd2 0x84 0x43 a1 01 27, then the empty unprotected header 0xa0
			return append(append(bytes.Clone(b[:6]), 0xa1, 0x04, 0x41, 0x00), b[7:]...)
		})},
		{"protected-header", "malformed", "a parameter more, marked critical and signed", func(s *scene) []byte {
			return s.signFor(purpose, s.payload(), cose.ProtectedHeader{cose.HeaderLabelCritical: []any{int64(99)}, int64(99): int64(1)})
		}},
		{"other-signature-algorithm", "malformed", "ES256 in the header, EdDSA in the signature", wire(func(b []byte) []byte { return flipped(b, 5) })},
		{"untagged", "malformed", "a COSE_Sign1 without its tag", wire(func(b []byte) []byte { return b[1:] })},
		{"long-length", "malformed", "the payload's length in four bytes", wire(func(b []byte) []byte {
			return append(append(bytes.Clone(b[:7]), 0x5a, 0, 0), b[8:]...)
		})},
		{"indefinite-length", "malformed", "the payload in chunks", wire(func(b []byte) []byte {
			return replaced(replaced(b, string(b[6:8]), "\xa0\x5f\x59"), "\x58\x40", "\xff\x58\x40")
		})},
		{"detached-payload", "malformed", "null in place of the payload", wire(func(b []byte) []byte {
			return append(append(bytes.Clone(b[:7]), 0xf6), b[len(b)-66:]...)
		})},
		{"short-signature", "malformed", "63 bytes", wire(func(b []byte) []byte {
			return append(append(bytes.Clone(b[:len(b)-66]), 0x58, 63), b[len(b)-64:len(b)-1]...)
		})},
		{"truncated", "malformed", "cut in the middle", wire(func(b []byte) []byte { return b[:len(b)/2] })},
		{"empty", "malformed", "no bytes", wire(func([]byte) []byte { return nil })},
		{"trailing-bytes", "malformed", "one byte behind the signature", wire(func(b []byte) []byte { return append(bytes.Clone(b), 0) })},
		{"json", "malformed", "{}", wire(func([]byte) []byte { return []byte("{}") })},
		{"payload-trailing-bytes", "malformed", "one byte behind the payload", raw(func(b []byte) []byte { return append(bytes.Clone(b), 0) })},
		{"payload-unknown-field", "malformed", "a sixth field", raw(func(b []byte) []byte {
			out := append(bytes.Clone(b), 0x06, 0x00)
			out[0]++
			return out
		})},
		{"payload-duplicate-key", "malformed", "field 1 twice", raw(func(b []byte) []byte {
			out := append([]byte{b[0] + 1, 0x01, 0x01}, b[1:]...)
			return out
		})},
		{"payload-indefinite-map", "malformed", "a map of indefinite length", raw(func(b []byte) []byte {
			out := append(bytes.Clone(b), 0xff)
			out[0] = 0xbf
			return out
		})},
		{"payload-long-integer", "malformed", "1 in two bytes", raw(func(b []byte) []byte {
			return append([]byte{b[0], 0x01, 0x18, 0x01}, b[3:]...)
		})},
		{"payload-unsorted", "malformed", "fields in another order", raw(func(b []byte) []byte {
			var m map[int]cbor.RawMessage
			if err := cbor.Unmarshal(b, &m); err != nil {
				panic(err)
			}
			out := []byte{0xa5}
			for _, k := range []byte{2, 1, 3, 4, 5} {
				out = append(append(out, k), m[int(k)]...)
			}
			return out
		})},
		{"protocol-version", "malformed", "version 2", bend(func(s *scene) { s.reply.Protocol = 2 })},
		{"two-answers-in-one", "malformed", "a bundle and unchanged at once", bend(func(s *scene) { s.reply.Agents[0].Unchanged = "x" })},
		{"short-nonce", "malformed", "31 bytes", bend(func(s *scene) { s.reply.Nonce = s.reply.Nonce[1:] })},
		{"no-answer", "malformed", "neither bundle nor unchanged nor errors", bend(func(s *scene) { s.reply.Agents[0].Bundle = nil })},
		{"refusal-without-code", "malformed", "", bend(func(s *scene) {
			s.reply.Agents[0] = protocol.AgentReply{AgentID: "agent-1", Errors: []protocol.RefError{{Message: "no"}}}
		})},
		{"refusal-too-long", "malformed", "1025 bytes of words", bend(func(s *scene) {
			s.reply.Agents[0] = protocol.AgentReply{AgentID: "agent-1", Errors: []protocol.RefError{{Code: protocol.CodeDenied, Message: strings.Repeat("x", protocol.MaxMessageLen+1)}}}
		})},
		{"name-twice", "malformed", "one name twice in a bundle", bend(func(s *scene) { s.bundle().Meta.Refs[1].Name = "API_KEY" })},
		{"names-unsorted", "malformed", "", bend(func(s *scene) { r := s.bundle().Meta.Refs; r[0], r[1] = r[1], r[0] })},
		{"bad-name", "malformed", "a name with a space", bend(func(s *scene) { s.bundle().Meta.Refs[0].Name = "API KEY" })},
		{"secret-id-too-long", "malformed", "129 bytes", bend(func(s *scene) {
			s.request.Agents[0].Bindings = nil
			s.bundle().Meta.Refs[0].SecretID = strings.Repeat("s", protocol.MaxIDLen+1)
		})},
		{"version-0", "malformed", "a ref without a version", bend(func(s *scene) { s.bundle().Meta.Refs[0].Version = 0 })},
		{"empty-value", "malformed", "a value of no bytes announced", bend(func(s *scene) { s.bundle().Meta.Refs[0].Length = 0 })},
		{"oversize", "malformed", "a value of 3 MB announced", bend(func(s *scene) { s.bundle().Meta.Refs[0].Length = 3 << 20 })},
	}
}
