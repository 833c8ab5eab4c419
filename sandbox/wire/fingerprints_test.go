package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// prints are good fingerprints: two names, a form of each kind.
func prints() *Fingerprints {
	f := &Fingerprints{Key: [32]byte{1, 2, 3}, Multiplier: 1<<63 | 1, Early: true, Names: []string{"A", "LONGER_NAME"}}
	for i, kind := range []Kind{0, Part, Base64, Base64 | WidenLeft, Base64 | WidenLeft | WidenRight | Part} {
		f.Forms = append(f.Forms, Form{MAC: [MACSize]byte{byte(i)}, Length: uint16(PrefixSize + i), Name: uint16(i % 2), Kind: kind, Next: NoNext})
		f.Prefixes = append(f.Prefixes, Prefix{Hash: uint32(i / 2), Form: uint32(i), Broken: kind&Base64 != 0})
	}
	f.Forms[2].Next, f.Forms[1].Length, f.Prefixes[4].Hash = 4, MaxForm, 1<<PrefixBits-1
	return f
}

func TestFingerprints(t *testing.T) {
	for _, want := range []*Fingerprints{prints(), {Multiplier: 1, Forms: []Form{}, Prefixes: []Prefix{}}} {
		if got, err := DecodeFingerprints(want.Encode()); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestFingerprintsRefused(t *testing.T) {
	good := prints().Encode()
	for i := range good {
		if f, err := DecodeFingerprints(good[:i]); !errors.Is(err, protocol.ErrMalformed) || f != nil {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	for name, change := range map[string]func(f *Fingerprints){
		"even multiplier":          func(f *Fingerprints) { f.Multiplier = 2 },
		"no name":                  func(f *Fingerprints) { f.Names[0] = "" },
		"name that none can be":    func(f *Fingerprints) { f.Names[0] = "A]" },
		"names":                    func(f *Fingerprints) { f.Names = make([]string, protocol.MaxRefs+1) },
		"form too short":           func(f *Fingerprints) { f.Forms[0].Length = PrefixSize - 1 },
		"form too long":            func(f *Fingerprints) { f.Forms[0].Length = MaxForm + 1 },
		"form of another name":     func(f *Fingerprints) { f.Forms[0].Name = 2 },
		"unknown kind":             func(f *Fingerprints) { f.Forms[0].Kind = Part << 1 },
		"widens, and is no base64": func(f *Fingerprints) { f.Forms[0].Kind = WidenLeft },
		"followed by no form":      func(f *Fingerprints) { f.Forms[0].Next = 5 },
		"prefix of no form":        func(f *Fingerprints) { f.Prefixes[0].Form = 5 },
		"prefixes not ascending":   func(f *Fingerprints) { f.Prefixes[0].Hash = 1 },
		"hash of 25 bits":          func(f *Fingerprints) { f.Prefixes[4].Hash = 1 << (PrefixBits + 1) },
		"break in what is no base64": func(f *Fingerprints) {
			f.Prefixes[0].Broken = true
		},
	} {
		f := prints()
		change(f)
		if f, err := DecodeFingerprints(f.Encode()); !errors.Is(err, protocol.ErrMalformed) || f != nil {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	for name, at := range map[string]int{"magic": 0, "early": 48, "many names": 52, "many forms": 59, "many prefixes": 63} {
		data := bytes.Clone(good)
		data[at] = 0xff
		if _, err := DecodeFingerprints(data); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeFingerprints(append(good, 0)); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("trailing: %v", err)
	}
}

// TestPrefixHash: the stage and the masker of one build hash alike; this holds
// the definition.
func TestPrefixHash(t *testing.T) {
	window := binary.LittleEndian.Uint64([]byte("abcdefgh"))
	if got := PrefixHash(window, 0x9e3779b97f4a7c15); got != uint32(window*0x9e3779b97f4a7c15>>40) || got >= 1<<PrefixBits {
		t.Errorf("%x", got)
	}
}

// FuzzFingerprints: what decodes holds what the masker relies on, and is encoded
// to the same bytes.
func FuzzFingerprints(f *testing.F) {
	f.Add(prints().Encode())
	f.Add((&Fingerprints{Multiplier: 1}).Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := DecodeFingerprints(data)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), data) || !p.valid() || p.Multiplier%2 == 0 {
			t.Errorf("%x: %+v", data, p)
		}
	})
}
