package launcher

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

func TestIDsInRange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passwd")
	text := "root:x:0:0::/:/bin/sh\na:x:10:1\nb:x:11:1\n\nbroken\nc:x:12:1\nd:x:13:1\nlarge:x:99999999999:1\ne:x:-1:1\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uids config.UIDRange
		want []string
	}{
		{config.UIDRange{First: 11, Last: 12}, []string{"b", "c"}}, // the masker's counts
		{config.UIDRange{First: 14, Last: 20}, nil},
		{config.UIDRange{First: 1, Last: 4294967293}, []string{"a", "b", "c", "d"}},
	} {
		if got := inRange(file, &c.uids); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v", c.uids, got)
		}
	}
	if got := inRange(filepath.Join(t.TempDir(), "none"), &config.UIDRange{First: 1, Last: 2}); got != nil {
		t.Error(got)
	}
}
