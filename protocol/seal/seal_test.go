package seal_test

import (
	"bytes"
	"crypto/hpke"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
)

func newKey(t *testing.T) []byte {
	t.Helper()
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey().Bytes()
}

func meta() protocol.Meta {
	return protocol.Meta{BundleID: "b", CompanyID: "c", AgentID: "a", HostID: "h", Nonce: make([]byte, protocol.NonceSize), ExpiresAt: 1}
}

func value(name string, size int) seal.Value {
	return seal.Value{Name: name, SecretID: "s", Version: 1, Bytes: bytes.Repeat([]byte{'~'}, size)}
}

// Seal fills in what the caller must not choose, keeps the values as they were
// and never makes the same bytes twice.
func TestSeal(t *testing.T) {
	public, values := newKey(t), []seal.Value{value("A", 30), value("B", 1)}
	m := meta()
	m.Protocol, m.KeyID, m.Refs = 9, []byte("other"), []protocol.Ref{{Name: "X"}}
	b, err := seal.Seal(public, m, values)
	if err != nil {
		t.Fatal(err)
	}
	if b.Meta.Protocol != protocol.Version || !bytes.Equal(b.Meta.KeyID, protocol.KeyID(public)) || len(b.Meta.Refs) != 2 ||
		b.Meta.Refs[1].Name != "B" || b.Meta.Refs[1].Length != 1 || len(m.Refs) != 1 || string(values[1].Bytes) != "~" {
		t.Errorf("%+v", b.Meta)
	}
	again, err := seal.Seal(public, m, values)
	if err != nil {
		t.Fatal(err)
	}
	one, err1 := protocol.DecodeEnvelope(b.Sealed, b.Meta.KeyID)
	two, err2 := protocol.DecodeEnvelope(again.Sealed, b.Meta.KeyID)
	if err1 != nil || err2 != nil || len(one.Ciphertext) != b.Meta.PlaintextSize()+protocol.TagSize {
		t.Fatal(err1, err2)
	}
	if bytes.Equal(one.Header.IV, two.Header.IV) || bytes.Equal(one.Recipients[0].Header.EK, two.Recipients[0].Header.EK) ||
		bytes.Equal(one.Ciphertext[:32], two.Ciphertext[:32]) {
		t.Error("the same key or IV twice")
	}
	if bytes.Contains(b.Sealed, []byte("~~~~")) {
		t.Error("a value in the clear")
	}
}

func TestRefused(t *testing.T) {
	public := newKey(t)
	nul := value("A", 20)
	nul.Bytes[19] = 0
	for _, c := range []struct {
		why    string
		public []byte
		bend   func(*protocol.Meta)
		values []seal.Value
	}{
		{"host public key", public[1:], nil, nil},
		{"host public key", nil, nil, nil},
		{"names must ascend", public, nil, []seal.Value{value("B", 1), value("A", 1)}},
		{"names must ascend", public, nil, []seal.Value{value("A", 1), value("A", 1)}},
		{"NUL", public, nil, []seal.Value{nul}},
		{"length 0", public, nil, []seal.Value{value("A", 0)}},
		{"length 1048577", public, nil, []seal.Value{value("A", protocol.MaxValueSize+1)}},
		{"environment block", public, nil, []seal.Value{value("A", protocol.MaxValueSize), value("B", protocol.MaxValueSize)}},
		{"not a variable name", public, nil, []seal.Value{value("A B", 1)}},
		{"257 refs", public, nil, make([]seal.Value, protocol.MaxRefs+1)},
		{"agent id", public, func(m *protocol.Meta) { m.AgentID = "" }, nil},
		{"bundle id", public, func(m *protocol.Meta) { m.BundleID = "" }, nil},
		{"company id", public, func(m *protocol.Meta) { m.CompanyID = "" }, nil},
		{"host id", public, func(m *protocol.Meta) { m.HostID = strings.Repeat("h", protocol.MaxIDLen+1) }, nil},
		{"nonce", public, func(m *protocol.Meta) { m.Nonce = nil }, nil},
		{"secret id", public, nil, []seal.Value{{Name: "A", Version: 1, Bytes: []byte("x")}}},
		{"version 0", public, nil, []seal.Value{{Name: "A", SecretID: "s", Bytes: []byte("x")}}},
	} {
		m := meta()
		if c.bend != nil {
			c.bend(&m)
		}
		b, err := seal.Seal(c.public, m, c.values)
		if err == nil || b != nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", c.why, err)
		}
		if err != nil && strings.Contains(err.Error(), "~") {
			t.Errorf("%s: the error quotes a value: %v", c.why, err)
		}
	}
}
