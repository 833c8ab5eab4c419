package memscan

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

func newCanary(t testing.TB, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEncodedInside encodes a canary among neighbours, at every alignment: it
// must be found once, however the encoder grouped it.
func TestEncodedInside(t *testing.T) {
	encoders := map[Form][]func([]byte) string{
		Base64: {
			base64.StdEncoding.EncodeToString, base64.URLEncoding.EncodeToString,
			base64.RawStdEncoding.EncodeToString, base64.RawURLEncoding.EncodeToString,
		},
		Hex: {hex.EncodeToString, func(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }},
	}
	for form, all := range encoders {
		for i, encode := range all {
			for size := MinCanary; size < MinCanary+40; size++ {
				canary := newCanary(t, size)
				before, after := newCanary(t, size%7), newCanary(t, size%5)
				text := encode(bytes.Join([][]byte{before, canary, after}, nil))
				if seen := search(t, []byte("x"+text+"y"), canary); seen[form] != 1 || len(seen) != 1 {
					t.Errorf("%s encoder %d, %d bytes: %v", form, i, size, seen)
				}
			}
		}
	}
}

func TestFragments(t *testing.T) {
	canary := newCanary(t, 48)
	for _, c := range []struct {
		name string
		data []byte
		want map[Form]int
	}{
		{"whole", canary, map[Form]int{Raw: 1}},
		{"twice", append(bytes.Clone(canary), canary...), map[Form]int{Raw: 2}},
		{"start", canary[:20], map[Form]int{Fragment: 1}},
		{"middle", canary[10:40], map[Form]int{Fragment: 1}},
		{"end", canary[30:], map[Form]int{Fragment: 1}},
		{"all but the last byte", canary[:47], map[Form]int{Fragment: 2}},
		{"whole and a piece", append(bytes.Clone(canary), canary[:16]...), map[Form]int{Raw: 1, Fragment: 1}},
		{"too little", canary[:15], map[Form]int{}},
		{"nothing", nil, map[Form]int{}},
	} {
		if got := search(t, c.data, canary); fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCanaryTooShort(t *testing.T) {
	for _, canaries := range [][][]byte{nil, {make([]byte, MinCanary-1)}, {newCanary(t, 20), {}}} {
		if _, err := newNeedles(canaries); err == nil {
			t.Errorf("%d canaries: accepted", len(canaries))
		}
	}
}

func search(t *testing.T, data, canary []byte) map[Form]int {
	t.Helper()
	n, err := newNeedles([][]byte{canary})
	if err != nil {
		t.Fatal(err)
	}
	seen, total, err := n.stream(bytes.NewReader(data), n.buffer())
	if err != nil || total != uint64(len(data)) {
		t.Fatalf("read %d of %d bytes: %v", total, len(data), err)
	}
	counts := map[Form]int{}
	for _, one := range seen {
		counts[one.form] += one.count
	}
	return counts
}
