package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/controlplane/keys"
)

func master(t *testing.T, fill byte) *keys.Master {
	t.Helper()
	m, err := keys.NewMaster(bytes.Repeat([]byte{fill}, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestDecrypt: a value opens with its own key, at its own place, and nowhere
// else. Each row changes one thing.
func TestDecrypt(t *testing.T) {
	m, id := master(t, 1), keys.ID{Company: "c", Secret: "s", Version: 2}
	wrapped, err := m.NewDataKey("c", "s")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := m.Encrypt(id, wrapped, []byte("value"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := m.NewDataKey("c", "s")
	if err != nil {
		t.Fatal(err)
	}
	flip := func(b []byte, i int) []byte {
		b = bytes.Clone(b)
		b[(i+len(b))%len(b)] ^= 1
		return b
	}
	for _, tt := range []struct {
		name           string
		m              *keys.Master
		id             keys.ID
		wrapped, value []byte
		want           error
	}{
		{"as stored", m, id, wrapped, sealed, nil},
		{"another master key", master(t, 2), id, wrapped, sealed, keys.ErrNotOpen},
		{"another company", m, keys.ID{Company: "d", Secret: "s", Version: 2}, wrapped, sealed, keys.ErrNotOpen},
		{"another secret", m, keys.ID{Company: "c", Secret: "t", Version: 2}, wrapped, sealed, keys.ErrNotOpen},
		{"another version", m, keys.ID{Company: "c", Secret: "s", Version: 1}, wrapped, sealed, keys.ErrNotOpen},
		{"company and secret run together", m, keys.ID{Company: "cs", Secret: "", Version: 2}, wrapped, sealed, keys.ErrNotOpen},
		{"another data key", m, id, other, sealed, keys.ErrNotOpen},
		{"data key in place of the value", m, id, wrapped, wrapped, keys.ErrNotOpen},
		{"no data key", m, id, nil, sealed, keys.ErrNotOpen},
		{"no value", m, id, wrapped, nil, keys.ErrNotOpen},
		{"nonce altered", m, id, wrapped, flip(sealed, 0), keys.ErrNotOpen},
		{"value altered", m, id, wrapped, flip(sealed, 12), keys.ErrNotOpen},
		{"tag altered", m, id, wrapped, flip(sealed, -1), keys.ErrNotOpen},
		{"data key altered", m, id, flip(wrapped, 20), sealed, keys.ErrNotOpen},
		{"cut", m, id, wrapped, sealed[:len(sealed)-1], keys.ErrNotOpen},
	} {
		got, err := tt.m.Decrypt(tt.id, tt.wrapped, tt.value)
		if !errors.Is(err, tt.want) || err == nil && string(got) != "value" || err != nil && got != nil {
			t.Errorf("%s: %q, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	again, err := m.Encrypt(id, wrapped, []byte("value"))
	if err != nil || bytes.Equal(again, sealed) {
		t.Errorf("two encryptions are equal, or %v", err)
	}
}

// TestVerify: the check tells one master key from another.
func TestVerify(t *testing.T) {
	check, err := master(t, 1).Check()
	if err != nil {
		t.Fatal(err)
	}
	if err := master(t, 1).Verify(check); err != nil {
		t.Errorf("same key: %v", err)
	}
	if err := master(t, 2).Verify(check); !errors.Is(err, keys.ErrNotOpen) {
		t.Errorf("another key: %v", err)
	}
}

// TestPrints: no verb shows the key.
func TestPrints(t *testing.T) {
	m := master(t, 'K')
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		got := fmt.Sprintf(verb, m) + fmt.Sprintf(verb, *m) + fmt.Sprintf(verb, struct{ m *keys.Master }{m})
		if strings.Contains(got, "KKKK") || strings.Contains(got, "4b4b4b4b") || strings.Contains(got, "75, 75") {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// TestFiles: what a key file may look like. No refusal quotes it.
func TestFiles(t *testing.T) {
	const good = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"line", good + "\n", 0o600, ""},
		{"no newline", good, 0o400, ""},
		{"CRLF", good + "\r\n", 0o600, ""},
		{"group reads", good, 0o640, "lets others read it"},
		{"all read", good, 0o604, "lets others read it"},
		{"short", good[4:], 0o600, "not one line"},
		{"long", "QUJD" + good, 0o600, "not one line"},
		{"two lines", good + "\n" + good + "\n", 0o600, "not one line"},
		{"hex", strings.Repeat("41", 32), 0o600, "not one line"},
		{"empty", "", 0o600, "not one line"},
		{"huge", strings.Repeat("A", 5000), 0o600, "not a key file"},
	} {
		path := filepath.Join(t.TempDir(), "k")
		if err := errors.Join(os.WriteFile(path, []byte(tt.text), 0o600), os.Chmod(path, tt.mode)); err != nil {
			t.Fatal(err)
		}
		_, err := keys.LoadMaster(path)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "QUJD") {
			t.Errorf("%s: the error quotes the file: %v", tt.name, err)
		}
	}
	if _, err := keys.LoadSigning(t.TempDir()); err == nil || !strings.Contains(err.Error(), "cannot use signing key") {
		t.Errorf("a directory: %v", err)
	}
}

// TestEnsure makes a key once and never replaces it.
func TestEnsure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k")
	var first []byte
	for range 2 {
		if err := keys.Ensure(path); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil || first != nil && !bytes.Equal(first, data) {
			t.Fatalf("replaced, or %v", err)
		}
		first = data
	}
	if _, err := keys.LoadSigning(path); err != nil {
		t.Error(err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%d files left, %v", len(entries), err)
	}
	if err := keys.Ensure(filepath.Join(path, "under-a-file")); err == nil {
		t.Error("made a key below a file")
	}
}
