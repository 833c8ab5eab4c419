// Package forms computes fingerprints of values in every form in which an agent
// may print them. The stage alone imports it: it sees plaintext.
package forms

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"slices"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// ScratchSize is what a Maker needs of the caller's locked memory, in bytes.
const ScratchSize = wire.MaxForm

// minLine is the length in bytes from which a line of a value is masked alone.
const minLine = 16

// Maker makes the fingerprints of one run. What it computes with lies in the
// scratch memory; only MACs leave it.
type Maker struct {
	out     wire.Fingerprints
	mac     hash.Hash
	sum     [sha256.Size]byte
	scratch []byte
	seen    map[id]uint32 // index of the form
}

// id is what makes two forms one.
type id struct {
	mac   [wire.MACSize]byte
	kind  wire.Kind
	chain uint32 // of pieces: they follow one another in one form only
}

// NewMaker draws the keys. scratch has ScratchSize bytes, locked if the caller can.
func NewMaker(scratch []byte) *Maker {
	m := &Maker{scratch: scratch[:0:ScratchSize], seen: map[id]uint32{}}
	var multiplier [8]byte
	_, _ = rand.Read(m.out.Key[:]) // never fails
	_, _ = rand.Read(multiplier[:])
	m.out.Multiplier = binary.LittleEndian.Uint64(multiplier[:]) | 1
	m.mac = hmac.New(sha256.New, m.out.Key[:])
	return m
}

// Add adds all forms of a value. One shorter than wire.PrefixSize has none.
func (m *Maker) Add(name string, value []byte) {
	if len(value) < wire.PrefixSize {
		return
	}
	m.out.Names = append(m.out.Names, name)
	m.add(value)
	if trimmed := bytes.TrimRight(value, "\r\n"); len(trimmed) < len(value) { // as $(...) and most readers of files do
		m.add(trimmed)
	}
}

func (m *Maker) add(value []byte) {
	m.form(0, value, raw)
	if bytes.IndexByte(value, '\n') >= 0 {
		for line := range bytes.SplitSeq(value, []byte{'\n'}) {
			line = bytes.TrimRight(line, "\r")
			// Without what indents it, if that is enough: many lines of one value begin with
			// the same spaces.
			if bare := bytes.TrimLeft(line, " \t"); len(bare) >= minLine {
				line = bare
			}
			if len(line) >= minLine {
				m.form(wire.Part, line, raw)
			}
		}
	}
	for _, alphabet := range []string{base64Std, base64URL} {
		for _, bit := range []int{0, 4, 2} { // where the first whole character begins, if 0, 1, 2 bytes of a group come before
			kind := wire.Base64
			if bit > 0 {
				kind |= wire.WidenLeft
			}
			if (8*len(value)-bit)%6 > 0 {
				kind |= wire.WidenRight
			}
			m.form(kind, value, func(c *cutter, value []byte) { base64(c, value, alphabet, bit) })
		}
	}
	for _, encode := range escapes {
		m.form(0, value, encode)
	}
}

// Fingerprints returns all of them and wipes what was computed with. nil means
// that there is nothing to mask.
func (m *Maker) Fingerprints() *wire.Fingerprints {
	clear(m.scratch[:ScratchSize])
	m.wipe()
	if len(m.out.Forms) == 0 {
		return nil
	}
	slices.SortFunc(m.out.Prefixes, func(a, b wire.Prefix) int { return int(a.Hash) - int(b.Hash) })
	return &m.out
}

// wipe overwrites the input block that the hash keeps.
func (m *Maker) wipe() {
	var zero [sha256.BlockSize]byte
	m.mac.Reset()
	_, _ = m.mac.Write(zero[:len(zero)-1]) // a whole block would not be kept
	_, _ = m.mac.Write(zero[:1])
}

// form adds what encode makes of value, whole or in pieces.
func (m *Maker) form(kind wire.Kind, value []byte, encode func(*cutter, []byte)) {
	c := &cutter{m: m, kind: kind, measuring: true, last: wire.NoNext}
	encode(c, value)
	if c.total < wire.PrefixSize {
		return
	}
	c.measuring = false
	if c.total > wire.MaxForm {
		c.chain = uint32(len(m.out.Forms)) + 1
		c.kind |= wire.Part
	}
	encode(c, value)
}

// cutter takes a form byte by byte, first to measure it, then to cut it.
type cutter struct {
	m           *Maker
	kind        wire.Kind
	measuring   bool
	total, done int
	chain       uint32 // 0: the form is whole
	last        uint32 // the piece before; NoNext: none
}

func (c *cutter) put(b byte) {
	if c.measuring {
		c.total++
		return
	}
	c.m.scratch = append(c.m.scratch, b)
	c.done++
	left := c.total - c.done
	if left == 0 || c.chain != 0 && len(c.m.scratch) >= wire.PieceSize && left >= wire.PrefixSize {
		c.cut(left == 0)
	}
}

// cut makes a fingerprint of what is in the scratch memory.
func (c *cutter) cut(end bool) {
	m, piece, kind := c.m, c.m.scratch, c.kind
	first := c.last == wire.NoNext
	if !first {
		kind &^= wire.WidenLeft
	}
	if !end {
		kind &^= wire.WidenRight
	}
	m.mac.Reset()
	_, _ = m.mac.Write(piece)
	x := id{mac: [wire.MACSize]byte(m.mac.Sum(m.sum[:0])), kind: kind, chain: c.chain}
	index, known := m.seen[x]
	if !known {
		index = uint32(len(m.out.Forms))
		m.seen[x] = index
		m.out.Forms = append(m.out.Forms, wire.Form{MAC: x.mac, Length: uint16(len(piece)), Name: uint16(len(m.out.Names) - 1), Kind: kind, Next: wire.NoNext})
		m.prefixes(index, kind, first)
		m.out.Early = m.out.Early || kind&wire.Base64 == 0 && bytes.IndexByte(piece[:wire.PrefixSize-1], '\n') >= 0
	}
	if !first && kind&wire.Base64 != 0 && m.out.Forms[c.last].Next == wire.NoNext {
		m.out.Forms[c.last].Next = index
	}
	c.last = index
	clear(m.scratch)
	m.scratch = m.scratch[:0]
}

// prefixes adds how the form in the scratch memory may begin: as it is, and in
// base64 with a line break among the first bytes. Pieces that follow need none:
// they are looked for behind the one before.
func (m *Maker) prefixes(form uint32, kind wire.Kind, first bool) {
	add := func(window uint64, broken bool) {
		m.out.Prefixes = append(m.out.Prefixes, wire.Prefix{Hash: wire.PrefixHash(window, m.out.Multiplier), Form: form, Broken: broken})
	}
	window := binary.LittleEndian.Uint64(m.scratch)
	add(window, false)
	if kind&wire.Base64 == 0 || !first {
		return
	}
	for n := 8; n < 64; n += 8 { // bits before the break
		before, behind := window&(1<<n-1), window&^(1<<n-1)
		add(before|'\n'<<n|behind<<8, true)
		add(before|'\r'<<n|uint64('\n')<<8<<n|behind<<16, true)
	}
}
