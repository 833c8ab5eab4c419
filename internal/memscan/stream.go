package memscan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// chunk is how much is searched at a time, in bytes.
const chunk = 512 << 10

// buffer makes a buffer for stream: a chunk, with room before and behind it.
//
//	| context | already searched but needed to judge a fragment
//	| chunk   | searched now
//	| ahead   | searched next time: a needle that begins before it may end in it
func (n *needles) buffer() []byte { return make([]byte, chunk+2*n.longest) }

// sighting is one kind of hit in one stream.
type sighting struct {
	needle
	count int
	first uint64 // offset in the stream
}

// stream searches r to its end. It returns what it read even where it fails.
func (n *needles) stream(r io.Reader, buffer []byte) (seen []sighting, total uint64, err error) {
	found := map[int]*sighting{}
	filled, searched := 0, 0
	base := uint64(0) // stream offset of buffer[0]
	for {
		got, err := io.ReadFull(r, buffer[filled:])
		filled += got
		total += uint64(got)
		limit := filled - n.longest
		if err != nil {
			limit = filled
		}
		n.search(buffer[:filled], searched, limit, base, found)
		if err != nil {
			clear(buffer)
			return n.collect(found), total, endOf(err)
		}
		context := min(limit, n.longest)
		base += uint64(limit - context)
		filled = copy(buffer, buffer[limit-context:filled])
		searched = context
	}
}

// search adds the needles that begin at data[from:limit].
func (n *needles) search(data []byte, from, limit int, base uint64, found map[int]*sighting) {
	filter := n.index.filter
	for at := from; at < limit && at <= len(data)-prefixSize; at++ {
		prefix := binary.LittleEndian.Uint64(data[at : at+prefixSize])
		if filter.has(prefix) {
			n.compare(data, at, base, n.index.needles[prefix], found)
		}
	}
}

// compare adds those of the candidates that are at data[at].
func (n *needles) compare(data []byte, at int, base uint64, candidates []int, found map[int]*sighting) {
	for _, i := range candidates {
		one := n.all[i]
		if !bytes.HasPrefix(data[at:], one.bytes) || n.partOfWhole(one, data, at) {
			continue
		}
		if found[i] == nil {
			found[i] = &sighting{needle: one, first: base + uint64(at)}
		}
		found[i].count++
	}
}

func (n *needles) collect(found map[int]*sighting) (seen []sighting) {
	for i := range n.all {
		if found[i] != nil {
			seen = append(seen, *found[i])
		}
	}
	return seen
}

func endOf(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
