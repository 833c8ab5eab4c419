package protocol_test

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"maps"
	"testing"

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

const purpose = "agent-launcher resolve reply 1"

// signRaw signs any payload, as a control plane gone wrong would.
func (s *scene) signRaw(payload []byte) []byte { return s.signFor(purpose, payload, nil) }

// signFor signs for any purpose, with more in the protected header if asked.
func (s *scene) signFor(purpose string, payload []byte, more cose.ProtectedHeader) []byte {
	s.t.Helper()
	signer, err := cose.NewSigner(cose.AlgorithmEdDSA, s.signer)
	check(s.t, err)
	header := cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmEdDSA}
	maps.Copy(header, more)
	data, err := cose.Sign1(nil, signer, cose.Headers{Protected: header}, payload, []byte(purpose))
	check(s.t, err)
	return data
}

func (s *scene) payload() []byte {
	s.t.Helper()
	data, err := protocol.Marshal(s.reply)
	check(s.t, err)
	return data
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
