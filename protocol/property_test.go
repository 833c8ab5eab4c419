package protocol_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/open"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
)

// party is a host key for many bundles: making one takes longer than sealing.
type party struct {
	public []byte
	key    *open.Key
}

func newParty(t testing.TB) party {
	t.Helper()
	public, private := hostKey(t)
	key, err := open.ParseKey([]byte(private), make([]byte, 64))
	check(t, err)
	return party{public, key}
}

var propertyNow = time.Unix(vectorTime, 0)

func (p party) open(b *protocol.Bundle) ([]byte, error) {
	return open.Open(p.key, b.Meta, b.Sealed, propertyNow, make([]byte, b.Meta.PlaintextSize()))
}

// valueBytes draws what people keep in secrets and what they do not.
func valueBytes(t *rapid.T, label string) []byte {
	text := []string{"\n", "\r\n", "=", "a", "A=b\nC=d\r\n", "\xff\xfe", "\xc3", "üñï", " ", "\"'`$(id)\\", "-----BEGIN KEY-----\nAAAA\n"}
	b := rapid.OneOf(
		rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 200),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom(text), 1, 20), func(s []string) []byte { return []byte(fmt.Sprint(s)) }),
		rapid.Map(rapid.SampledFrom(text), func(s string) []byte { return []byte(s) }),
		rapid.Map(rapid.IntRange(1, protocol.MaxValueSize), func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }),
	).Draw(t, label)
	return b
}

func drawValues(t *rapid.T, most int) []seal.Value {
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_]{0,30}`), 0, most, rapid.ID[string]).Draw(t, "names")
	slices.Sort(names)
	var out []seal.Value
	size := 0
	for _, name := range names {
		v := seal.Value{Name: name, SecretID: rapid.StringN(1, 20, protocol.MaxIDLen).Draw(t, "secret"),
			Version: rapid.Uint32Min(1).Draw(t, "version"), Bytes: valueBytes(t, "value")}
		if size += len(name) + len(v.Bytes) + 2; size > protocol.MaxPlaintextSize {
			break
		}
		out = append(out, v)
	}
	return out
}

func drawMeta(t *rapid.T) protocol.Meta {
	id := rapid.StringN(1, 20, protocol.MaxIDLen)
	return protocol.Meta{BundleID: id.Draw(t, "bundle"), CompanyID: id.Draw(t, "company"), AgentID: id.Draw(t, "agent"), HostID: id.Draw(t, "host"),
		Nonce: nonce(), ExpiresAt: rapid.Int64Min(vectorTime+1).Draw(t, "expiry")}
}

// Whatever is sealed comes out as it was, through the encoding of a reply.
func TestRoundTripProperty(t *testing.T) {
	p := newParty(t)
	rapid.Check(t, func(t *rapid.T) {
		values := drawValues(t, 8)
		b, err := seal.Seal(p.public, drawMeta(t), values)
		if err != nil {
			t.Fatal(err)
		}
		data, err := protocol.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var got protocol.Bundle
		if err := errors.Join(protocol.Unmarshal(data, protocol.MaxReplySize, &got), got.Validate()); err != nil {
			t.Fatal(err)
		}
		block, err := p.open(&got)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for _, v := range values {
			want = append(want, v.Name+"="+string(v.Bytes)+"\x00"...)
		}
		if !bytes.Equal(block, want) {
			t.Fatalf("%q, want %q", block, want)
		}
	})
}

// Requests and refusals come out of their encoding as they went in, and a
// byte more, less or other never decodes to what it is not the encoding of.
func TestMessageProperty(t *testing.T) {
	id := rapid.StringN(1, 20, protocol.MaxIDLen)
	name := rapid.StringMatching(`[A-Za-z_][A-Za-z0-9_]{0,10}`)
	binding := rapid.Custom(func(t *rapid.T) protocol.Binding {
		return protocol.Binding{Name: name.Draw(t, "name"), SecretID: id.Draw(t, "secret"), Version: protocol.Selector(rapid.Uint32().Draw(t, "version"))}
	})
	agent := rapid.Custom(func(t *rapid.T) protocol.AgentRequest {
		a := protocol.AgentRequest{AgentID: id.Draw(t, "agent"), CompanyID: id.Draw(t, "company"), BundleID: rapid.StringN(0, 20, protocol.MaxIDLen).Draw(t, "bundle")}
		if b := rapid.SliceOfNDistinct(binding, 0, 30, func(b protocol.Binding) string { return b.Name }).Draw(t, "bindings"); len(b) > 0 {
			a.Bindings = b
		}
		return a
	})
	rapid.Check(t, func(t *rapid.T) {
		q := &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: rapid.SliceOfN(rapid.Byte(), protocol.NonceSize, protocol.NonceSize).Draw(t, "nonce"),
			Agents: rapid.SliceOfNDistinct(agent, 1, 20, func(a protocol.AgentRequest) string { return a.AgentID }).Draw(t, "agents")}
		r := &protocol.ResolveReply{Protocol: protocol.Version, Nonce: q.Nonce, HostID: id.Draw(t, "host"), Time: rapid.Int64().Draw(t, "time")}
		for _, a := range q.Agents {
			answer := protocol.AgentReply{AgentID: a.AgentID, Unchanged: a.BundleID}
			if a.BundleID == "" {
				answer.Errors = []protocol.RefError{{Code: protocol.CodeDenied, Name: name.Draw(t, "refused"), Message: rapid.StringN(0, 50, -1).Draw(t, "words")}}
			}
			r.Agents = append(r.Agents, answer)
		}
		request, err1 := protocol.Marshal(q)
		reply, err2 := protocol.Marshal(r)
		q2, err3 := protocol.DecodeRequest(request)
		r2, err4 := protocol.DecodeReply(reply)
		if err := errors.Join(err1, err2, err3, err4); err != nil || !reflect.DeepEqual(q, q2) || !reflect.DeepEqual(r, r2) {
			t.Fatalf("%+v %+v: %v", q2, r2, err)
		}
		if err := r2.Match(q2, r.HostID); err != nil {
			t.Fatal(err)
		}
		at, b := rapid.IntRange(0, len(request)-1).Draw(t, "at"), rapid.Byte().Draw(t, "byte")
		for _, other := range [][]byte{
			slices.Insert(bytes.Clone(request), at, b), slices.Delete(bytes.Clone(request), at, at+1), slices.Replace(bytes.Clone(request), at, at+1, b),
		} {
			q3, err := protocol.DecodeRequest(other)
			if err != nil {
				continue
			}
			if again, err := protocol.Marshal(q3); err != nil || !bytes.Equal(again, other) {
				t.Fatalf("accepted %x, which is %x: %v", other, again, err)
			}
		}
	})
}

// A value with a NUL is never sealed, wherever the NUL is.
func TestNULProperty(t *testing.T) {
	p := newParty(t)
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "value")
		b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = 0
		if _, err := seal.Seal(p.public, drawMeta(t), []seal.Value{{Name: "A", SecretID: "s", Version: 1, Bytes: b}}); err == nil {
			t.Fatal("sealed")
		}
	})
}

// No bit of a bundle can be flipped: not of the sealed part, not of the encoded
// metadata. The key id in the metadata is the exception: the stage knows its
// own.
func TestFlippedBitProperty(t *testing.T) {
	p := newParty(t)
	b, err := seal.Seal(p.public, protocol.Meta{BundleID: "bundle", CompanyID: "company", AgentID: "agent", HostID: "host",
		Nonce: nonce(), ExpiresAt: vectorTime + 86400}, []seal.Value{
		{Name: "API_KEY", SecretID: "secret-1", Version: 2, Bytes: []byte("first")},
		{Name: "DATABASE_URL", SecretID: "secret-2", Version: 1, Bytes: []byte("second\nthird")},
	})
	check(t, err)
	meta, err := protocol.Marshal(&b.Meta)
	check(t, err)
	keyID := bytes.Index(meta, b.Meta.KeyID)
	if _, err := p.open(b); err != nil || keyID < 0 {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		bit := rapid.IntRange(0, 8*len(b.Sealed)-1).Draw(t, "bit")
		if _, err := p.open(&protocol.Bundle{Meta: b.Meta, Sealed: flipBit(b.Sealed, bit)}); err == nil {
			t.Fatal("opened with another sealed part")
		}
	})
	for bit := range 8 * len(meta) { // few enough for all of them
		var m protocol.Meta
		if err := protocol.Unmarshal(flipBit(meta, bit), protocol.MaxReplySize, &m); err != nil {
			continue
		}
		_, err := p.open(&protocol.Bundle{Meta: m, Sealed: b.Sealed})
		if own := bit/8 >= keyID && bit/8 < keyID+protocol.KeyIDSize; own != (err == nil) {
			t.Errorf("bit %d of the metadata: %v", bit, err)
		}
	}
}

func flipBit(b []byte, bit int) []byte {
	out := bytes.Clone(b)
	out[bit/8] ^= 1 << (bit % 8)
	return out
}
