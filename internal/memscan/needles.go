package memscan

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
)

// MinCanary is the shortest canary in bytes: below it, chance finds it too.
const MinCanary = 16

// fragmentSize is how much of a canary must be left to count as a remainder, in bytes.
const fragmentSize = 16

// Form is how a canary is written in a place.
type Form string

// The forms that a scan knows.
const (
	Raw      Form = "raw"
	Base64   Form = "base64"
	Hex      Form = "hex"
	Fragment Form = "fragment" // part of a raw canary that is not whole
)

// needle is one byte string to look for.
type needle struct {
	form   Form
	canary int // index
	bytes  []byte
	offset int // of a fragment in its canary
}

type needles struct {
	canaries [][]byte
	all      []needle
	longest  int // bytes
	index    index
}

func newNeedles(canaries [][]byte) (*needles, error) {
	if len(canaries) == 0 {
		return nil, fmt.Errorf("cannot scan: no canary given")
	}
	n := &needles{canaries: canaries}
	for i, canary := range canaries {
		if len(canary) < MinCanary {
			return nil, fmt.Errorf("cannot scan: canary %d has %d bytes, the least is %d", i, len(canary), MinCanary)
		}
		n.add(needle{form: Raw, canary: i, bytes: canary})
		n.addHex(i, canary)
		n.addBase64(i, canary)
		n.addFragments(i, canary)
	}
	n.index = newIndex(n.all)
	return n, nil
}

// add keeps one needle of each byte string: a canary of digits has the same
// hex in both cases, and most base64 is the same in both alphabets.
func (n *needles) add(one needle) {
	for _, other := range slices.Backward(n.all) {
		if other.canary != one.canary {
			break
		}
		if bytes.Equal(other.bytes, one.bytes) {
			return
		}
	}
	n.all = append(n.all, one)
	n.longest = max(n.longest, len(one.bytes))
}

func (n *needles) addHex(i int, canary []byte) {
	lower := hex.AppendEncode(nil, canary)
	n.add(needle{form: Hex, canary: i, bytes: lower})
	n.add(needle{form: Hex, canary: i, bytes: bytes.ToUpper(lower)})
}

// addBase64 adds the canary as it looks inside a longer text that was encoded:
// it begins at any of the three bytes of a group. The characters at its edges,
// which also encode bits of its neighbours, are left out.
func (n *needles) addBase64(i int, canary []byte) {
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for before := range 3 {
			text := encoding.AppendEncode(nil, append(make([]byte, before), canary...))
			first := []int{0, 2, 3}[before]
			last := len(text)
			if (before+len(canary))%3 != 0 {
				last--
			}
			n.add(needle{form: Base64, canary: i, bytes: text[first:last]})
		}
	}
}

func (n *needles) addFragments(i int, canary []byte) {
	rest := len(canary) - fragmentSize
	for _, offset := range []int{0, rest / 2, rest} {
		n.add(needle{form: Fragment, canary: i, bytes: canary[offset : offset+fragmentSize], offset: offset})
	}
}

// partOfWhole says that one, at data[at], is a fragment of a raw canary that is
// all there, and so has been counted.
func (n *needles) partOfWhole(one needle, data []byte, at int) bool {
	start := at - one.offset
	return one.form == Fragment && start >= 0 && bytes.HasPrefix(data[start:], n.canaries[one.canary])
}
