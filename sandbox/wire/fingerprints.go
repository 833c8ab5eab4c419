package wire

import (
	"encoding/binary"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Fingerprints are by what the masker knows the values of a run without knowing
// them. The stage writes them into a memfd and seals it; the keeper holds that
// and hands it to every masker unread. An empty one masks nothing.
//
//	offset  bytes
//	0       8      magic
//	8       32     key of the HMACs, random, of this run alone
//	40      8      multiplier of Prefix.Hash, random, odd
//	48      4      1: a form has a line break among its first 7 bytes; else 0
//	52      4 × 3  how many names, forms, prefixes
//	64      names: a byte with the length, and the name
//	        forms: MAC 16, Length 2, Name 2, Kind 4, Next 4
//	        prefixes: Form 4, Hash 3, Broken 1; ascending by hash
//
// Integers are little-endian.
type Fingerprints struct {
	Key        [32]byte
	Multiplier uint64
	Early      bool // a form has a line break among its first PrefixSize-1 bytes
	Names      []string
	Forms      []Form
	Prefixes   []Prefix
}

// Form is one way in which a value, or a piece of one, may be printed.
type Form struct {
	MAC    [MACSize]byte // HMAC-SHA256 of the form, truncated as RFC 2104 section 5 allows
	Length uint16        // bytes, PrefixSize to MaxForm
	Name   uint16        // index
	Kind   Kind
	Next   uint32 // index of the piece that follows this one; NoNext: none
}

// Kind says how a form is compared with output.
type Kind uint32

// The kinds. Base64 encodes neighbouring bytes in the characters beside a form
// that begins or ends within a group: a mask widens to those.
const (
	Base64     Kind = 1 << iota // line breaks within it do not count
	WidenLeft                   // by the character before it
	WidenRight                  // by the character behind it, and padding
	Part                        // a line or a piece, not the whole value
)

// Prefix is where a form may begin.
type Prefix struct {
	Hash   uint32 // of its first PrefixSize bytes, see PrefixHash
	Form   uint32 // index
	Broken bool   // with the line break of base64 among them
}

// Sizes of fingerprints, in bytes.
const (
	PrefixSize      = protocol.MinMasked // whose first bytes are a number of 64 bits
	PrefixBits      = 24                 // of Prefix.Hash
	MACSize         = 16
	MaxForm         = 4 << 10
	PieceSize       = 64 // of a form that is longer than MaxForm; the last piece has up to 7 more
	NoNext          = ^uint32(0)
	MaxFingerprints = 64 << 20 // twice what the largest bundle gives
)

// Line breaks within base64 are looked for behind lines of at least this many
// characters: PEM has 64, MIME 76.
const MinBase64Line = 60

const (
	fingerprintMagic = "AL-mask1"
	headerSize       = 64
	formSize         = MACSize + 12
	prefixRecord     = 8
	hashMask         = 1<<PrefixBits - 1
)

// PrefixHash hashes 8 bytes, read as a little-endian number, to PrefixBits.
func PrefixHash(window, multiplier uint64) uint32 {
	return uint32(window * multiplier >> (64 - PrefixBits))
}

// Encode is f as the memfd holds it. Prefixes must be sorted.
func (f *Fingerprints) Encode() []byte {
	le := binary.LittleEndian
	out := make([]byte, 0, headerSize+len(f.Names)*(1+protocol.MaxNameLen)+len(f.Forms)*formSize+len(f.Prefixes)*prefixRecord)
	out = append(append(out, fingerprintMagic...), f.Key[:]...)
	out = le.AppendUint64(out, f.Multiplier)
	for _, n := range []uint32{bit(f.Early), uint32(len(f.Names)), uint32(len(f.Forms)), uint32(len(f.Prefixes))} {
		out = le.AppendUint32(out, n)
	}
	for _, name := range f.Names {
		out = append(append(out, byte(len(name))), name...)
	}
	for i := range f.Forms {
		x := &f.Forms[i]
		out = le.AppendUint16(le.AppendUint16(append(out, x.MAC[:]...), x.Length), x.Name)
		out = le.AppendUint32(le.AppendUint32(out, uint32(x.Kind)), x.Next)
	}
	for _, p := range f.Prefixes {
		out = le.AppendUint32(le.AppendUint32(out, p.Form), p.Hash|bit(p.Broken)<<PrefixBits)
	}
	return out
}

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// DecodeFingerprints decodes what Encode made: there is one encoding of each.
// The only error is protocol.ErrMalformed.
func DecodeFingerprints(data []byte) (*Fingerprints, error) {
	le := binary.LittleEndian
	if len(data) < headerSize || len(data) > MaxFingerprints || string(data[:8]) != fingerprintMagic {
		return nil, protocol.ErrMalformed
	}
	f := &Fingerprints{Key: [32]byte(data[8:40]), Multiplier: le.Uint64(data[40:]), Early: data[48] == 1}
	names, forms, prefixes := int64(le.Uint32(data[52:])), int64(le.Uint32(data[56:])), int64(le.Uint32(data[60:]))
	if f.Multiplier%2 == 0 || le.Uint32(data[48:]) > 1 || names > protocol.MaxRefs {
		return nil, protocol.ErrMalformed
	}
	data = data[headerSize:]
	for range names {
		if len(data) == 0 || len(data) <= int(data[0]) {
			return nil, protocol.ErrMalformed
		}
		end := 1 + int(data[0])
		f.Names, data = append(f.Names, string(data[1:end])), data[end:]
	}
	if int64(len(data)) != forms*formSize+prefixes*prefixRecord {
		return nil, protocol.ErrMalformed
	}
	f.Forms, f.Prefixes = make([]Form, forms), make([]Prefix, prefixes)
	for i := range f.Forms {
		f.Forms[i] = Form{MAC: [MACSize]byte(data), Length: le.Uint16(data[MACSize:]), Name: le.Uint16(data[MACSize+2:]),
			Kind: Kind(le.Uint32(data[MACSize+4:])), Next: le.Uint32(data[MACSize+8:])}
		data = data[formSize:]
	}
	for i := range f.Prefixes {
		x := le.Uint32(data[4:])
		f.Prefixes[i] = Prefix{Form: le.Uint32(data), Hash: x & hashMask, Broken: x>>PrefixBits == 1}
		if x>>PrefixBits > 1 {
			return nil, protocol.ErrMalformed
		}
		data = data[prefixRecord:]
	}
	if !f.valid() {
		return nil, protocol.ErrMalformed
	}
	return f, nil
}

// valid reports whether all that the masker relies on holds.
func (f *Fingerprints) valid() bool {
	for _, name := range f.Names {
		if protocol.CheckEnvName(name) != nil {
			return false
		}
	}
	for i := range f.Forms {
		x := &f.Forms[i]
		if x.Length < PrefixSize || x.Length > MaxForm || int(x.Name) >= len(f.Names) || x.Kind >= Part<<1 ||
			x.Kind&Base64 == 0 && x.Kind&^Part != 0 || x.Next != NoNext && int64(x.Next) >= int64(len(f.Forms)) {
			return false
		}
	}
	for i, p := range f.Prefixes {
		if int64(p.Form) >= int64(len(f.Forms)) || i > 0 && p.Hash < f.Prefixes[i-1].Hash || p.Broken && f.Forms[p.Form].Kind&Base64 == 0 {
			return false
		}
	}
	return true
}
