package sign

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Byte strings are read as a real decoder reads those that a real encoder
// wrote, and in no other form. 0x40 plus the length; from 24 bytes 0x58 and one
// byte, from 256 0x59 and two, from 64 Ki 0x5a and four.
func TestByteString(t *testing.T) {
	for _, n := range []int{0, 1, 23, 24, 255, 256, 65535, 65536, 1 << 20} {
		want := bytes.Repeat([]byte{7}, n)
		data, err := protocol.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, rest, ok := byteString(append(data, 1, 2))
		if !ok || !bytes.Equal(got, want) || cap(got) != n || !bytes.Equal(rest, []byte{1, 2}) {
			t.Errorf("%d bytes: %v", n, ok)
		}
		for cut := range min(len(data), 6) {
			if _, _, ok := byteString(data[:cut]); ok {
				t.Errorf("%d bytes, cut after %d: accepted", n, cut)
			}
		}
		if _, _, ok := byteString(data[:len(data)-1]); ok {
			t.Errorf("%d bytes without the last: accepted", n)
		}
		body := data[len(data)-n:]
		for _, head := range [][]byte{
			{0x58, byte(n)}, {0x59, byte(n >> 8), byte(n)}, {0x5a, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)},
			{0x5b, 0, 0, 0, 0, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)},
		} {
			other := append(bytes.Clone(head), body...)
			var b []byte
			if bytes.Equal(other, data) || cbor.Unmarshal(other, &b) != nil { // another length altogether
				continue
			}
			if _, _, ok := byteString(other); ok {
				t.Errorf("%d bytes with head %x: accepted", n, head)
			}
		}
	}
	for first := range 256 { // no other type, nothing indefinite or reserved
		_, _, ok := byteString(append([]byte{byte(first)}, make([]byte, 30)...))
		if ok != (first >= 0x40 && first <= 0x57) {
			t.Errorf("%#x and zeros: %v", first, ok)
		}
	}
}

// What Sign writes, Verify reads, to the last byte and for this key alone.
func TestSignVerify(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	q := &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: make([]byte, protocol.NonceSize),
		Agents: []protocol.AgentRequest{{AgentID: "a", CompanyID: "c"}}}
	data, err := Sign(private, &protocol.ResolveReply{Protocol: protocol.Version, Nonce: q.Nonce, HostID: "h", Time: -1,
		Agents: []protocol.AgentReply{{AgentID: "a", Errors: []protocol.RefError{{Code: protocol.CodeInternal}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Verify(public, data, q, "h"); err != nil || r.Time != -1 || r.Agents[0].Errors[0].Code != protocol.CodeInternal {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Verify(foreign, data, q, "h"); !errors.Is(err, protocol.ErrSignature) {
		t.Errorf("foreign key: %v", err)
	}
	for bit := range 8 * len(data) {
		flipped := bytes.Clone(data)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, err := Verify(public, flipped, q, "h"); !errors.Is(err, protocol.ErrSignature) && !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("bit %d: %v", bit, err)
		}
	}
	for n := range data {
		if _, err := Verify(public, data[:n], q, "h"); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("first %d bytes: %v", n, err)
		}
	}
	if _, err := Verify(public, make([]byte, protocol.MaxReplySize+1), q, "h"); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("too large: %v", err)
	}
}
