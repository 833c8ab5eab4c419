package masker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"
	"sort"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// prints are a run's fingerprints, ready to be compared with output.
type prints struct {
	*wire.Fingerprints
	texts [][]byte // what stands for each name
	mac   hash.Hash
	sum   [sha256.Size]byte
	bare  []byte // for a form without its line breaks, in locked memory; nil: none had any

	// A bitmap by the upper bits of the hash decides about nearly every byte. It has
	// 16 KiB for 20 secrets, so that it stays in the processor's nearest cache.
	bitmap []uint64
	shift  uint // from a 64-bit product to an index into it
}

// Every prefix has spread bits of the bitmap, so that about one byte in as many
// is looked up.
const (
	spread     = 64
	minMapBits = 16
	maxMapBits = wire.PrefixBits
)

func newPrints(f *wire.Fingerprints) *prints {
	size := min(max(bits.Len(uint(len(f.Prefixes)*spread)), minMapBits), maxMapBits)
	p := &prints{
		Fingerprints: f, mac: hmac.New(sha256.New, f.Key[:]), bitmap: make([]uint64, 1<<size/64), shift: uint(64 - size),
	}
	for _, name := range f.Names {
		p.texts = append(p.texts, []byte("[redacted:"+name+"]"))
	}
	for _, x := range f.Prefixes {
		bit := x.Hash >> (wire.PrefixBits - size)
		p.bitmap[bit/64] |= 1 << (bit % 64)
	}
	return p
}

// next returns the first position from i on whose 8 bytes may be a prefix, or
// the first that has fewer than 8. It is the one loop that sees every byte.
func (p *prints) next(data []byte, i int) int {
	le, bitmap, multiplier, shift := binary.LittleEndian, p.bitmap, p.Multiplier, p.shift&63
	last := len(data) - wire.PrefixSize
	for ; i+3 <= last; i += 4 { // one branch for four is twice as fast
		four := data[i : i+wire.PrefixSize+3]
		a, b := le.Uint64(four)*multiplier>>shift, le.Uint64(four[1:])*multiplier>>shift
		c, d := le.Uint64(four[2:])*multiplier>>shift, le.Uint64(four[3:])*multiplier>>shift
		if (bitmap[a/64]>>(a%64)|bitmap[b/64]>>(b%64)|bitmap[c/64]>>(c%64)|bitmap[d/64]>>(d%64))&1 != 0 {
			break
		}
	}
	for ; i <= last; i++ {
		bit := le.Uint64(data[i:]) * multiplier >> shift
		if bitmap[bit/64]>>(bit%64)&1 != 0 {
			break
		}
	}
	return i
}

// at returns the prefixes that window may begin with.
func (p *prints) at(window []byte) []wire.Prefix {
	hash := wire.PrefixHash(binary.LittleEndian.Uint64(window), p.Multiplier)
	all := p.Prefixes
	i := sort.Search(len(all), func(i int) bool { return all[i].Hash >= hash })
	n := i
	for n < len(all) && all[n].Hash == hash {
		n++
	}
	return all[i:n]
}

// whole are those of forms that are no parts.
func (p *prints) whole(hits []wire.Prefix) (out []wire.Prefix) {
	for _, h := range hits {
		if p.Forms[h.Form].Kind&wire.Part == 0 {
			out = append(out, h)
		}
	}
	return out
}

// equal reports whether output is the form. Line breaks of base64 were found to
// be in their place.
func (p *prints) equal(output []byte, form *wire.Form) bool {
	if len(output) > int(form.Length) {
		if p.bare == nil {
			p.bare = locked(wire.MaxForm)
		}
		bare := p.bare[:0]
		for _, b := range output {
			if b != '\n' && b != '\r' {
				bare = append(bare, b)
			}
		}
		output = bare
		defer clear(bare)
	}
	p.mac.Reset()
	_, _ = p.mac.Write(output)
	same := hmac.Equal(p.mac.Sum(p.sum[:0])[:wire.MACSize], form.MAC[:])
	var zero [sha256.BlockSize - 1]byte // of its input the hash keeps less than a block
	p.mac.Reset()
	_, _ = p.mac.Write(zero[:])
	return same
}

// wipe gives back the memory that held output.
func (p *prints) wipe() {
	if p.bare != nil {
		unlock(p.bare)
		p.bare = nil
	}
}
