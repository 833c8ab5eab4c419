package memscan

import "encoding/binary"

// prefixSize is what a needle is first recognised by, in bytes. Every needle
// is at least 16 long.
const prefixSize = 8

// index finds the needles that begin with given bytes. One pass over the data
// is enough however many needles there are: a scan after many rotations has
// thousands.
type index struct {
	filter  *filter
	needles map[uint64][]int // positions in needles.all, by prefix
}

func newIndex(all []needle) index {
	x := index{filter: new(filter), needles: map[uint64][]int{}}
	for i, one := range all {
		prefix := binary.LittleEndian.Uint64(one.bytes)
		x.filter.add(prefix)
		x.needles[prefix] = append(x.needles[prefix], i)
	}
	return x
}

// filter has one bit per hash and fits the first-level cache. It is true of
// every needle's prefix and of few others.
type filter [1 << (filterBits - 6)]uint64

const filterBits = 18

func (f *filter) add(prefix uint64) { f[hash(prefix)>>6] |= 1 << (hash(prefix) & 63) }

func (f *filter) has(prefix uint64) bool { return f[hash(prefix)>>6]&(1<<(hash(prefix)&63)) != 0 }

// hash spreads prefixes over the filter: multiplication by 2^64/phi.
func hash(prefix uint64) uint64 { return prefix * 0x9E3779B97F4A7C15 >> (64 - filterBits) }
