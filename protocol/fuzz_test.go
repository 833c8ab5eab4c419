package protocol_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/veraison/go-cose"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/open"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// Every decoder meets bytes of its own. Two things must hold: no panic, and
// what is accepted has no second spelling. Fuzz with -fuzzminimizetime=100x:
// making inputs smaller takes the whole minute otherwise.

// seeds calls add with every vector.
func seeds(f *testing.F, add func(v vector)) {
	f.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 30 {
		f.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, file := range files {
		add(readVector(f, file))
	}
}

// payloadOf returns the payload of a signed reply without looking at the
// signature, or nil.
func payloadOf(reply []byte) []byte {
	var msg cose.Sign1Message
	if err := msg.UnmarshalCBOR(reply); err != nil {
		return nil
	}
	return msg.Payload
}

func FuzzDecodeRequest(f *testing.F) {
	seeds(f, func(v vector) { f.Add(v.bytes(f, "request")) })
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := protocol.DecodeRequest(data); err == nil {
			sameBytes(t, q, data)
			check(t, q.Validate())
		}
	})
}

func FuzzDecodeReply(f *testing.F) {
	seeds(f, func(v vector) { f.Add(payloadOf(v.bytes(f, "reply"))) })
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := protocol.DecodeReply(data)
		if err != nil {
			return
		}
		sameBytes(t, r, data)
		for _, a := range r.Agents {
			for _, e := range a.Errors {
				_ = e.Error()
			}
			_ = r.Match(&protocol.ResolveRequest{Nonce: r.Nonce, Agents: []protocol.AgentRequest{{AgentID: a.AgentID,
				Bindings: []protocol.Binding{{Name: "A", SecretID: "b"}}}}}, r.HostID)
		}
	})
}

func FuzzDecodeEnvelope(f *testing.F) {
	seeds(f, func(v vector) {
		for _, b := range bundlesOf(v.bytes(f, "reply")) {
			f.Add(b.Sealed, b.Meta.KeyID)
		}
	})
	f.Fuzz(func(t *testing.T, data, keyID []byte) {
		if e, err := protocol.DecodeEnvelope(data, keyID); err == nil {
			sameBytes(t, e, data)
		}
	})
}

// FuzzVerify knows the signing key: else no input would get past the
// signature. wrap decides whether data is a payload to be signed or the signed
// reply itself.
func FuzzVerify(f *testing.F) {
	s := newFixedScene(f)
	seeds(f, func(v vector) {
		reply := v.bytes(f, "reply")
		f.Add(false, reply)
		f.Add(true, payloadOf(reply))
	})
	f.Add(false, s.sign())
	f.Add(true, s.payload())
	public := s.signer.Public().(ed25519.PublicKey)
	f.Fuzz(func(t *testing.T, wrap bool, data []byte) {
		if wrap {
			s := *s
			s.t = t
			data = s.signRaw(append([]byte{}, data...)) // never nil: COSE would call that detached
		}
		r, err := sign.Verify(public, data, s.request, s.host)
		if err != nil {
			return
		}
		check(t, r.Match(s.request, s.host))
		again, err := sign.Sign(s.signer, r) // Ed25519 is deterministic
		check(t, err)
		if !bytes.Equal(again, data) {
			t.Fatalf("accepted %x, which is %x", data, again)
		}
	})
}

// FuzzOpen gives a stage hostile sealed bytes under honest metadata: only the
// honest ones may open.
func FuzzOpen(f *testing.F) {
	s := newFixedScene(f)
	key, err := open.ParseKey([]byte(s.private), make([]byte, 64))
	check(f, err)
	honest := s.bundle()
	f.Add(honest.Sealed)
	seeds(f, func(v vector) {
		for _, b := range bundlesOf(v.bytes(f, "reply")) {
			f.Add(b.Sealed)
			// The same, past the check of the key id.
			f.Add(bytes.Replace(b.Sealed, b.Meta.KeyID, key.ID(), 1))
		}
	})
	f.Fuzz(func(t *testing.T, sealed []byte) {
		dst := make([]byte, honest.Meta.PlaintextSize())
		_, err := open.Open(key, honest.Meta, sealed, time.Unix(s.now, 0), dst)
		if opened := err == nil; opened != bytes.Equal(sealed, honest.Sealed) {
			t.Fatalf("%v for %x", err, sealed)
		}
		if err != nil && !bytes.Equal(dst, make([]byte, len(dst))) {
			t.Fatalf("%v, but something was written", err)
		}
	})
}

// Spellings that a fuzzer finds late: longer forms of lengths outside the
// signature, line breaks that base64 skips.
func TestOneSpelling(t *testing.T) {
	s := newFixedScene(t)
	reply, public := s.sign(), s.signer.Public().(ed25519.PublicKey)
	signature := len(reply) - 66
	for name, parts := range map[string][][]byte{
		"payload's length":            {reply[:7], {0x5a, 0, 0}, reply[8:]},
		"signature's length":          {reply[:signature], {0x59, 0}, reply[signature+1:]},
		"protected header's length":   {reply[:2], {0x58, 3}, reply[3:]},
		"unprotected header's length": {reply[:6], {0xb8, 0}, reply[7:]},
	} {
		if _, err := sign.Verify(public, bytes.Join(parts, nil), s.request, s.host); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	line := protocol.FormatKey(protocol.SigningKeyPrefix, public)
	for _, at := range []int{len(protocol.SigningKeyPrefix), len(line) - 5} {
		if _, err := protocol.ParseKey(protocol.SigningKeyPrefix, line[:at]+"\r\n"+line[at:], ed25519.PublicKeySize); err == nil {
			t.Errorf("a line break at %d is accepted", at)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	seeds(f, func(v vector) { f.Add(v.text["signing-key"]); f.Add(v.text["host-key"]) })
	public, _ := hostKey(f)
	f.Add(protocol.FormatKey(protocol.PublicKeyPrefix, public))
	f.Fuzz(func(t *testing.T, line string) {
		for _, kind := range []struct {
			prefix string
			size   int
		}{{protocol.SigningKeyPrefix, ed25519.PublicKeySize}, {protocol.PublicKeyPrefix, protocol.PublicKeySize}} {
			key, err := protocol.ParseKey(kind.prefix, line, kind.size)
			if err == nil && protocol.FormatKey(kind.prefix, key) != strings.TrimSpace(line) {
				t.Fatalf("accepted %q", line)
			}
			if secret, ok := strings.CutPrefix(line, protocol.PrivateKeyPrefix); ok && len(secret) > 40 && strings.Contains(err.Error(), secret) {
				t.Fatal("a private key is quoted")
			}
		}
	})
}

func FuzzParsePrivateKey(f *testing.F) {
	seeds(f, func(v vector) { f.Add([]byte(v.text["host-key"])) })
	f.Fuzz(func(t *testing.T, line []byte) {
		seed := make([]byte, 33)
		key, err := open.ParseKey(line, seed)
		if !bytes.Equal(seed, make([]byte, len(seed))) {
			t.Fatal("the seed was not wiped")
		}
		if err != nil {
			return
		}
		want, err := protocol.ParseKey(protocol.PrivateKeyPrefix, string(line), 32)
		if err != nil || len(key.ID()) != protocol.KeyIDSize {
			t.Fatalf("accepted %q: %v", line, err)
		}
		if protocol.FormatKey(protocol.PrivateKeyPrefix, want) != strings.TrimRight(string(line), "\r\n") {
			t.Fatalf("accepted %q", line)
		}
	})
}

// newFixedScene is a scene that is the same in every process of a fuzzer,
// ciphertext aside: inputs that one finds mean the same to another.
func newFixedScene(t testing.TB) *scene {
	t.Helper()
	v := readVector(t, "testdata/success.txt")
	s := newScene(t)
	s.signer = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	s.private = v.text["host-key"]
	q, err := protocol.DecodeRequest(v.bytes(t, "request"))
	check(t, err)
	s.request = q
	r, err := protocol.DecodeReply(payloadOf(v.bytes(t, "reply")))
	check(t, err)
	s.reply = r
	return s
}

// bundlesOf returns the bundles of a signed reply that decodes.
func bundlesOf(reply []byte) []*protocol.Bundle {
	var out []*protocol.Bundle
	r, err := protocol.DecodeReply(payloadOf(reply))
	if err != nil {
		return nil
	}
	for _, a := range r.Agents {
		if a.Bundle != nil {
			out = append(out, a.Bundle)
		}
	}
	return out
}

func sameBytes(t *testing.T, v any, data []byte) {
	t.Helper()
	again, err := protocol.Marshal(v)
	check(t, err)
	if !bytes.Equal(again, data) {
		t.Fatalf("accepted %x, which is %x", data, again)
	}
}
