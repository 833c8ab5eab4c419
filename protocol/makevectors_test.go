package protocol_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

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

// sealed changes the bytes of the sealed part, in a reply signed honestly.
func sealed(f func([]byte) []byte) func(*scene) []byte {
	return bend(func(s *scene) { s.bundle().Sealed = f(bytes.Clone(s.bundle().Sealed)) })
}

// wire changes the signed bytes on their way.
func wire(f func([]byte) []byte) func(*scene) []byte {
	return func(s *scene) []byte { return f(s.sign()) }
}

// replaced replaces old, which must be there exactly once.
func replaced(b []byte, old, with string) []byte {
	if bytes.Count(b, []byte(old)) != 1 {
		panic(fmt.Sprintf("%x is not in %x, or more than once", old, b))
	}
	return bytes.Replace(b, []byte(old), []byte(with), 1)
}

func flipped(b []byte, i int) []byte {
	out := bytes.Clone(b)
	out[(i+len(out))%len(out)] ^= 1
	return out
}

func mutations() []mutation {
	return append(replyMutations(), append(encodingMutations(), bundleMutations()...)...)
}

// writeVectors writes the vectors that have no file yet: those that have one
// are what earlier versions wrote, and must go on meaning the same.
func writeVectors(t *testing.T) {
	t.Helper()
	for _, m := range mutations() {
		if _, err := os.Stat(m.file()); err == nil {
			continue
		}
		s := newScene(t)
		reply := m.do(s)
		request, err := protocol.Marshal(s.request)
		check(t, err)
		var out bytes.Buffer
		for _, line := range [][2]string{
			{"expect", m.expect}, {"comment", m.comment}, {"now", fmt.Sprint(s.now)}, {"host", s.host}, {"host-key", s.private},
			{"signing-key", protocol.FormatKey(protocol.SigningKeyPrefix, signerOf(m, s))},
			{"request", base64.StdEncoding.EncodeToString(request)}, {"reply", base64.StdEncoding.EncodeToString(reply)},
			{"block", base64.StdEncoding.EncodeToString(m.block(s))},
		} {
			fmt.Fprintf(&out, "%s: %s\n", line[0], line[1])
		}
		check(t, os.WriteFile(m.file(), out.Bytes(), 0o644))
	}
}

func (m mutation) file() string { return "testdata/" + m.name + ".txt" }

// block is what comes out: nothing, unless all is well.
func (m mutation) block(s *scene) []byte {
	var block []byte
	if m.expect == "success" {
		for _, v := range s.values {
			block = append(block, v.Name+"="+string(v.Bytes)+"\x00"...)
		}
	}
	return block
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
