package open_test

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/open"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
)

func newLine(t *testing.T) (public []byte, line string) {
	t.Helper()
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return key.PublicKey().Bytes(), protocol.FormatKey(protocol.PrivateKeyPrefix, seed)
}

func newBundle(t *testing.T) (*open.Key, *protocol.Bundle) {
	t.Helper()
	public, line := newLine(t)
	key, err := open.ParseKey([]byte(line), make([]byte, 33))
	if err != nil {
		t.Fatal(err)
	}
	b, err := seal.Seal(public, protocol.Meta{BundleID: "b", CompanyID: "c", AgentID: "a", HostID: "h",
		Nonce: make([]byte, protocol.NonceSize), ExpiresAt: 1000}, []seal.Value{{Name: "A", SecretID: "s", Version: 1, Bytes: []byte("value")}})
	if err != nil {
		t.Fatal(err)
	}
	return key, b
}

// The block lies in the memory that the caller gave, and nothing lies behind it.
func TestOpen(t *testing.T) {
	key, b := newBundle(t)
	for _, room := range []int{0, 1, 100} {
		dst := make([]byte, b.Meta.PlaintextSize()+room)
		block, err := open.Open(key, b.Meta, b.Sealed, time.Unix(999, 0), dst)
		if err != nil || string(block) != "A=value\x00" || &block[0] != &dst[0] || cap(block) != len(block) {
			t.Fatalf("%q with capacity %d, %v", block, cap(block), err)
		}
		if !bytes.Equal(dst[len(block):], make([]byte, room)) {
			t.Errorf("written behind the block: %q", dst)
		}
	}
}

func TestRefused(t *testing.T) {
	key, b := newBundle(t)
	_, other := newLine(t)
	stranger, err := open.ParseKey([]byte(other), make([]byte, 33))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		key  *open.Key
		now  int64
		room int
		meta func(*protocol.Meta)
		want error
	}{
		{"expires this second", key, 1000, 0, nil, open.ErrExpired},
		{"long expired", key, 1 << 40, 0, nil, open.ErrExpired},
		{"too little room", key, 999, -1, nil, open.ErrNotOpen},
		{"another host's key", stranger, 999, 0, nil, protocol.ErrKeyID},
		{"another agent", key, 999, 0, func(m *protocol.Meta) { m.AgentID = "x" }, open.ErrNotOpen},
		{"a ref more", key, 999, 100, func(m *protocol.Meta) {
			m.Refs = append(m.Refs[:1:1], protocol.Ref{Name: "B", SecretID: "s", Version: 1, Length: 1})
		}, open.ErrNotOpen},
		{"no ref", key, 999, 0, func(m *protocol.Meta) { m.Refs = nil }, open.ErrNotOpen},
		{"metadata that none would write", key, 999, 0, func(m *protocol.Meta) { m.Nonce = nil }, protocol.ErrMalformed},
	} {
		m := b.Meta
		if c.meta != nil {
			c.meta(&m)
		}
		dst := make([]byte, b.Meta.PlaintextSize()+c.room)
		block, err := open.Open(c.key, m, b.Sealed, time.Unix(c.now, 0), dst)
		if !errors.Is(err, c.want) || block != nil {
			t.Errorf("%s: %q, %v", c.name, block, err)
		}
		if !bytes.Equal(dst, make([]byte, len(dst))) {
			t.Errorf("%s: something was written: %q", c.name, dst)
		}
	}
}

func TestParseKey(t *testing.T) {
	public, line := newLine(t)
	secret := strings.TrimPrefix(line, protocol.PrivateKeyPrefix)
	for text, good := range map[string]bool{
		line: true, line + "\n": true, line + "\r\n": true,
		"": false, "\n": false, protocol.PrivateKeyPrefix: false, secret: false, " " + line: false, line + " ": false, line + "\x00": false,
		line + "=": false, line[:len(line)-1]: false, line + "A": false, line + "\n" + line: false,
		line[:60] + "\n" + line[60:]:                                    false, // base64 would skip it
		line[:len(line)-1] + "\n" + line[len(line)-1:]:                  false,
		protocol.PrivateKeyPrefix + "*" + secret[1:]:                    false,
		protocol.PrivateKeyPrefix + strings.Repeat("A", 42) + "B":       false, // bits behind the end
		protocol.FormatKey(protocol.PublicKeyPrefix, public):            false,
		strings.ToUpper(protocol.PrivateKeyPrefix[:1]) + line[1:]:       false,
		protocol.PrivateKeyPrefix + strings.Repeat(secret, 1000):        false,
		protocol.PrivateKeyPrefix + strings.Repeat("\n", 43):            false,
		protocol.PrivateKeyPrefix + secret[:42] + "\n":                  false,
		protocol.FormatKey(protocol.PrivateKeyPrefix, make([]byte, 33)): false,
	} {
		seed := bytes.Repeat([]byte{0}, 64)
		key, err := open.ParseKey([]byte(text), seed)
		if good && (err != nil || !bytes.Equal(key.ID(), protocol.KeyID(public))) || !good && !errors.Is(err, open.ErrKey) {
			t.Errorf("%.80q: %v", text, err)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || key != nil) {
			t.Errorf("%.80q: the error quotes the key, or a key comes with it: %v", text, err)
		}
		if !bytes.Equal(seed, make([]byte, len(seed))) {
			t.Errorf("%.80q: the seed was not wiped", text)
		}
	}
}

// A key prints nothing of itself, in whatever it is printed with.
func TestKeyIsSilent(t *testing.T) {
	_, line := newLine(t)
	seed, err := protocol.ParseKey(protocol.PrivateKeyPrefix, line, 32)
	if err != nil {
		t.Fatal(err)
	}
	key, err := open.ParseKey([]byte(line), make([]byte, 33))
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{key, *key, struct{ k *open.Key }{key}, struct{ k open.Key }{*key}, []any{key}} {
			text := fmt.Sprintf(verb, v)
			for _, form := range []string{string(seed), fmt.Sprintf("%x", seed), fmt.Sprintf("%d", seed)[1:60], strings.TrimPrefix(line, protocol.PrivateKeyPrefix)} {
				if strings.Contains(text, form) {
					t.Errorf("%s of %T: %s", verb, v, text)
				}
			}
		}
	}
}
