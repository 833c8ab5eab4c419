package memscan

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestCanariesOnStdin(t *testing.T) {
	binary := []byte("\x00\n\r\xff and a text")
	masked := EncodeCanaries([][]byte{binary, []byte("second")})
	if bytes.Contains(masked, []byte("second")) {
		t.Error("not masked")
	}
	for _, c := range []struct {
		name, in string
		masked   bool
		want     []string
		fails    bool
	}{
		{"masked", string(masked), true, []string{string(binary), "second"}, false},
		{"plain", "one\ntwo\r\n\nthree", false, []string{"one", "two", "three"}, false},
		{"empty", "", false, nil, false},
		{"masked but not hex", "zz\n", true, nil, true},
	} {
		got, err := DecodeCanaries(strings.NewReader(c.in), c.masked)
		if (err != nil) != c.fails || len(got) != len(c.want) {
			t.Errorf("%s: %q %v", c.name, got, err)
			continue
		}
		for i := range got {
			if string(got[i]) != c.want[i] {
				t.Errorf("%s: %q, want %q", c.name, got[i], c.want[i])
			}
		}
	}
}
