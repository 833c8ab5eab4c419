package sandbox

import (
	"bytes"
	"testing"
)

// A filter that was made for one policy is used for another only where theirs
// are the same.
func TestFiltersAreNotMixedUp(t *testing.T) {
	var known filters
	for _, profile := range []Profile{ProfileWorkspace, ProfileStrict, ProfilePlugin, ProfileOff} {
		for bits := range 16 {
			p := &Policy{Profile: profile, UnixSockets: bits&1 != 0, UserNamespaces: bits&2 != 0}
			if bits&4 != 0 {
				p.ConnectTCP = []uint16{443}
			}
			if bits&8 != 0 {
				p.BindTCP = []uint16{80}
			}
			want, err := filter(p)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if got, err := known.of(p); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%+v: another filter, %v", p, err)
				}
			}
		}
	}
}
