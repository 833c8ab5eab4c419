package protocol_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/open"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

var update = flag.Bool("update", false, "write the vectors that have no file yet")

// The vectors in testdata are one resolve each: what a host has (keys, the
// request it sent, the time) and the bytes that came back. They walk the same
// way as in production, sign.Verify and then open.Open, to the class that they
// expect. They are text, so that another implementation can use them.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			v := readVector(t, m.file())
			class, err := v.walk(t)
			if class != v.text["expect"] || class != m.expect {
				t.Fatalf("%s (%v), want %s", class, err, v.text["expect"])
			}
			if err != nil && (strings.Contains(err.Error(), "first") || strings.Contains(err.Error(), "second")) {
				t.Fatalf("the error quotes a value: %v", err)
			}
		})
	}
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) != len(mutations()) {
		t.Fatalf("%d files for %d vectors, %v", len(files), len(mutations()), err)
	}
}

type vector struct{ text map[string]string }

func readVector(t testing.TB, file string) vector {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v := vector{map[string]string{}}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, ok := strings.Cut(lines.Text(), ": ")
		if !ok {
			t.Fatalf("%s: not KEY: VALUE: %.40q", file, lines.Text())
		}
		v.text[key] = value
	}
	return v
}

func (v vector) bytes(t testing.TB, key string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(v.text[key])
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return b
}

// walk is a host: it believes nothing but its own request, keys and clock.
func (v vector) walk(t *testing.T) (string, error) {
	t.Helper()
	signer, err := protocol.ParseKey(protocol.SigningKeyPrefix, v.text["signing-key"], ed25519.PublicKeySize)
	if err != nil {
		t.Fatal(err)
	}
	q, err := protocol.DecodeRequest(v.bytes(t, "request"))
	if err != nil {
		t.Fatal(err)
	}
	reply, err := sign.Verify(signer, v.bytes(t, "reply"), q, v.text["host"])
	if err != nil {
		return class(err), err
	}
	key, err := open.ParseKey([]byte(v.text["host-key"]), make([]byte, 64))
	if err != nil {
		return class(err), err
	}
	now, err := strconv.ParseInt(v.text["now"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	block := ""
	for _, a := range reply.Agents {
		if a.Bundle == nil {
			continue
		}
		dst := make([]byte, a.Bundle.Meta.PlaintextSize()+1)
		b, err := open.Open(key, a.Bundle.Meta, a.Bundle.Sealed, time.Unix(now, 0), dst)
		if err != nil && (b != nil || len(bytes.Trim(dst, "\x00")) > 0) {
			t.Errorf("does not open, but leaves %q", dst)
		}
		if err != nil {
			return class(err), err
		}
		block += string(b)
	}
	if block != string(v.bytes(t, "block")) {
		return "wrong plaintext", fmt.Errorf("%q", block)
	}
	return "success", nil
}

func class(err error) string {
	for _, c := range []struct {
		err  error
		name string
	}{
		{protocol.ErrSignature, "signature"}, {protocol.ErrNonce, "nonce"}, {protocol.ErrMismatch, "mismatch"},
		{protocol.ErrKeyID, "key-id"}, {open.ErrExpired, "expired"}, {open.ErrNotOpen, "not-open"},
		{open.ErrStructure, "structure"}, {open.ErrKey, "key"}, {protocol.ErrMalformed, "malformed"},
	} {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "unclassified: " + err.Error()
}
