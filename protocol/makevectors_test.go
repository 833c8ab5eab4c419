package protocol_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// scene is a host, a control plane and one resolve between them, before
// anything goes wrong.
type scene struct {
	t       testing.TB
	public  []byte
	private string
	signer  ed25519.PrivateKey
	now     int64
	host    string
	request *protocol.ResolveRequest
	values  []seal.Value
	reply   *protocol.ResolveReply
}

const vectorTime = 1_800_000_000

func newScene(t testing.TB) *scene {
	t.Helper()
	_, signer, err := ed25519.GenerateKey(nil)
	check(t, err)
	s := &scene{t: t, signer: signer, now: vectorTime, host: "host-1"}
	s.public, s.private = hostKey(t)
	s.values = []seal.Value{
		{Name: "API_KEY", SecretID: "secret-1", Version: 2, Bytes: []byte("first\nline=\xff")},
		{Name: "DATABASE_URL", SecretID: "secret-2", Version: 1, Bytes: []byte("second")},
	}
	s.request = &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: nonce(), Agents: []protocol.AgentRequest{{
		AgentID: "agent-1", CompanyID: "company-1",
		Bindings: []protocol.Binding{{Name: "API_KEY", SecretID: "secret-1"}, {Name: "DATABASE_URL", SecretID: "secret-2", Version: 1}},
	}}}
	s.answer()
	return s
}

// answer builds the honest reply to the request as it stands.
func (s *scene) answer() {
	s.t.Helper()
	b, err := seal.Seal(s.public, s.meta(), s.values)
	check(s.t, err)
	s.reply = &protocol.ResolveReply{Protocol: protocol.Version, Nonce: s.request.Nonce, HostID: "host-1", Time: vectorTime,
		Agents: []protocol.AgentReply{{AgentID: "agent-1", Bundle: b}}}
}

func (s *scene) meta() protocol.Meta {
	return protocol.Meta{BundleID: "bundle-1", CompanyID: "company-1", AgentID: "agent-1", HostID: "host-1",
		Nonce: s.request.Nonce, ExpiresAt: vectorTime + 86400}
}

func (s *scene) bundle() *protocol.Bundle { return s.reply.Agents[0].Bundle }

// envelope changes the sealed part and encodes it again.
func (s *scene) envelope(change func(*protocol.Envelope)) {
	s.t.Helper()
	var e protocol.Envelope
	check(s.t, protocol.Unmarshal(s.bundle().Sealed, 1<<20, &e))
	change(&e)
	data, err := protocol.Marshal(&e)
	check(s.t, err)
	s.bundle().Sealed = data
}

func (s *scene) sign() []byte {
	s.t.Helper()
	data, err := sign.Sign(s.signer, s.reply)
	check(s.t, err)
	return data
}

// signRaw signs any payload, as a control plane gone wrong would.
func (s *scene) signRaw(payload []byte) []byte {
	s.t.Helper()
	signer, err := cose.NewSigner(cose.AlgorithmEdDSA, s.signer)
	check(s.t, err)
	headers := cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmEdDSA}}
	data, err := cose.Sign1(nil, signer, headers, payload, []byte("agent-launcher resolve reply 1"))
	check(s.t, err)
	return data
}

func (s *scene) payload() []byte {
	s.t.Helper()
	data, err := protocol.Marshal(s.reply)
	check(s.t, err)
	return data
}

// mutation is one failure class: it returns the bytes that arrive.
type mutation struct {
	name, expect, comment string
	do                    func(s *scene) []byte
}

// bend changes the scene, then signs honestly.
func bend(f func(*scene)) func(*scene) []byte {
	return func(s *scene) []byte { f(s); return s.sign() }
}

// raw signs a payload that was changed as bytes.
func raw(f func([]byte) []byte) func(*scene) []byte {
	return func(s *scene) []byte { return s.signRaw(f(s.payload())) }
}

// wire changes the signed bytes on their way.
func wire(f func([]byte) []byte) func(*scene) []byte {
	return func(s *scene) []byte { return f(s.sign()) }
}

func flipped(b []byte, i int) []byte {
	out := bytes.Clone(b)
	out[(i+len(out))%len(out)] ^= 1
	return out
}

func mutations() []mutation {
	return append(replyMutations(), append(encodingMutations(), bundleMutations()...)...)
}

func replyMutations() []mutation {
	return []mutation{
		{"success", "success", "two refs, one pinned", bend(func(*scene) {})},
		{"success-empty", "success", "an agent without secret refs", bend(func(s *scene) {
			s.request.Agents[0].Bindings, s.values = nil, nil
			s.answer()
		})},
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

func encodingMutations() []mutation {
	return []mutation{
		{"unprotected-header", "malformed", "a proxy adds a header parameter that no signature covers", wire(func(b []byte) []byte {
			// 0xd2 0x84 0x43 a1 01 27, then the empty unprotected header 0xa0
			return append(append(bytes.Clone(b[:6]), 0xa1, 0x04, 0x41, 0x00), b[7:]...)
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
		{"name-twice", "malformed", "one name twice in a bundle", bend(func(s *scene) { s.bundle().Meta.Refs[1].Name = "API_KEY" })},
		{"names-unsorted", "malformed", "", bend(func(s *scene) { r := s.bundle().Meta.Refs; r[0], r[1] = r[1], r[0] })},
		{"bad-name", "malformed", "a name with a space", bend(func(s *scene) { s.bundle().Meta.Refs[0].Name = "API KEY" })},
		{"oversize", "malformed", "a value of 3 MB announced", bend(func(s *scene) { s.bundle().Meta.Refs[0].Length = 3 << 20 })},
	}
}

func bundleMutations() []mutation {
	return []mutation{
		{"expired", "expired", "the host's clock is past the expiry", bend(func(s *scene) { s.now = vectorTime + 86400 })},
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
		{"swapped-binding", "not-open", "two names exchange their secrets in the metadata", bend(func(s *scene) {
			s.request.Agents[0].Bindings = nil // a host that asked for the record's
			r := s.bundle().Meta.Refs
			r[0].SecretID, r[1].SecretID = r[1].SecretID, r[0].SecretID
		})},
		{"version-changed", "not-open", "version 3 announced, version 2 sealed", bend(func(s *scene) { s.bundle().Meta.Refs[0].Version = 3 })},
		{"length-changed", "not-open", "one byte moves from one value to the other", bend(func(s *scene) {
			s.bundle().Meta.Refs[0].Length++
			s.bundle().Meta.Refs[1].Length--
		})},
		{"expiry-changed", "not-open", "a day longer", bend(func(s *scene) { s.bundle().Meta.ExpiresAt += 86400 })},
		{"bundle-id-changed", "not-open", "", bend(func(s *scene) { s.bundle().Meta.BundleID = "bundle-2" })},
		{"sealed-for-other-agent", "not-open", "another agent's sealed part under this agent's metadata", bend(func(s *scene) {
			m := s.meta()
			m.AgentID = "agent-2"
			b, err := seal.Seal(s.public, m, s.values)
			check(s.t, err)
			s.bundle().Sealed = b.Sealed
		})},
		{"sealed-for-other-request", "not-open", "an earlier sealed part under fresh metadata", bend(func(s *scene) {
			m := s.meta()
			m.Nonce = nonce()
			b, err := seal.Seal(s.public, m, s.values)
			check(s.t, err)
			s.bundle().Sealed = b.Sealed
		})},
		{"flip-encapsulated-key", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Recipients[0].Header.EK })},
		{"flip-content-key", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Recipients[0].Ciphertext })},
		{"flip-iv", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Header.IV })},
		{"flip-ciphertext", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Ciphertext[:1] })},
		{"flip-tag", "not-open", "", flipIn(func(e *protocol.Envelope) []byte { return e.Ciphertext[len(e.Ciphertext)-1:] })},
		{"truncated-ciphertext", "not-open", "", bend(func(s *scene) {
			s.envelope(func(e *protocol.Envelope) { e.Ciphertext = e.Ciphertext[:len(e.Ciphertext)-1] })
		})},
		{"nul-in-value", "structure", "a sealing party that did not look", func(s *scene) []byte {
			s.values[1].Bytes = []byte("sec\x00nd")
			s.reply.Agents[0].Bundle = sealUnchecked(s.t, s.public, s.bundle().Meta, s.values)
			return s.sign()
		}},
		{"garbage-host-key", "key", "the key file holds something else", bend(func(s *scene) { s.private = "AGE-SECRET-KEY-1" })},
	}
}

func flipIn(part func(*protocol.Envelope) []byte) func(*scene) []byte {
	return bend(func(s *scene) { s.envelope(func(e *protocol.Envelope) { part(e)[0] ^= 1 }) })
}

func writeVectors(t *testing.T) {
	t.Helper()
	check(t, os.RemoveAll("testdata"))
	check(t, os.MkdirAll("testdata", 0o755))
	for _, m := range mutations() {
		s := newScene(t)
		reply := m.do(s)
		request, err := protocol.Marshal(s.request)
		check(t, err)
		var block []byte
		if m.expect == "success" {
			for _, v := range s.values {
				block = append(block, v.Name+"="+string(v.Bytes)+"\x00"...)
			}
		}
		var out bytes.Buffer
		for _, line := range [][2]string{
			{"expect", m.expect}, {"comment", m.comment}, {"now", fmt.Sprint(s.now)}, {"host", s.host}, {"host-key", s.private},
			{"signing-key", protocol.FormatKey(protocol.SigningKeyPrefix, signerOf(m, s))},
			{"request", base64.StdEncoding.EncodeToString(request)}, {"reply", base64.StdEncoding.EncodeToString(reply)},
			{"block", base64.StdEncoding.EncodeToString(block)},
		} {
			fmt.Fprintf(&out, "%s: %s\n", line[0], line[1])
		}
		check(t, os.WriteFile(filepath.Join("testdata", m.name+".txt"), out.Bytes(), 0o644))
	}
}

// signerOf is the key that the host pinned: not the foreign signer's.
func signerOf(m mutation, s *scene) ed25519.PublicKey {
	if m.name != "foreign-signer" {
		return s.signer.Public().(ed25519.PublicKey)
	}
	public, _, err := ed25519.GenerateKey(nil)
	check(s.t, err)
	return public
}

func hostKey(t testing.TB) (public []byte, private string) {
	t.Helper()
	key, err := hpke.MLKEM768X25519().GenerateKey()
	check(t, err)
	seed, err := key.Bytes()
	check(t, err)
	return key.PublicKey().Bytes(), protocol.FormatKey(protocol.PrivateKeyPrefix, seed)
}

func nonce() []byte {
	n := make([]byte, protocol.NonceSize)
	rand.Read(n)
	return n
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
