package masker

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// mask finds the values of one run in its output, by their fingerprints, and
// leaves [redacted:NAME] in their place. It sees the raw stream: how that was
// cut by writes and reads makes no difference.
//
// All positions are offsets in the bytes that feed was last given; those that it
// did not release come again, at the beginning of the next.
//
//	released     │ data                                       │ not read yet
//	             0        limit              scan      len(data)
//	             │ is      │ waits: a hit may  │ waits: fewer   │
//	             │ written │ become a match    │ than 8 bytes   │
type mask struct {
	prints  *prints
	scan    int         // the next position that a form may begin at
	waiting []candidate // hits that are not decided
	found   []span      // matches that are not written
	until   int         // end of the last [redacted]; -1: other bytes came behind it
	name    uint16      // in it; nobody's: the bytes were swallowed
	match   span        // the last whole match that was written
	line    int         // characters of base64 directly before data, up to MinBase64Line
	work    int         // done for the data, in bytes that were hashed
}

// candidate is a form that may begin at start.
type candidate struct {
	start int
	form  uint32
	need  int  // length of data from which it can be decided
	next  bool // a piece behind one that was found
}

// span is output to mask, [start, end).
type span struct {
	start, end int
	name       uint16
	whole      bool // the value, not a part of it
}

// What may wait at the most, in bytes: a form with a line break of two behind
// each character, what a mask widens to, and less than 8.
const maxHeld = 3*(wire.MaxForm+8) + 8

// What one feed may cost: candidates at a time, and for each chunk bytes hashed,
// some 50 ms.
// Output that begins like a value's many lines or pieces, again and again, costs
// more: it is masked without a look, up to where whatever began in it must have ended.
const (
	maxAlike   = 16 // forms of one beginning that are compared
	maxWaiting = 4096
	maxWork    = 16 << 20
	hashCost   = 128 // of one hash beside its bytes
)

func newMask(f *wire.Fingerprints) *mask { return &mask{prints: newPrints(f), until: -1} }

const nobodys = 1<<16 - 1

// swallow has the first n bytes not come out, before any was fed. What begins
// among them and goes on behind them is masked.
func (m *mask) swallow(n int) { m.until, m.name = n, nobodys }

// feed takes output, what was held back first, and gives emit all that may be
// seen. The rest, from released on, is held back: at most maxHeld bytes. end
// says that no more will come: what a hit holds then is masked.
func (m *mask) feed(data []byte, end bool, emit func([]byte)) (released int) {
	m.work = 0
	m.look(data)
	m.decide(data, end)
	limit := len(data)
	if end {
		m.giveUp(data)
	} else {
		limit = m.limit(data)
	}
	m.write(data[:limit], emit)
	m.line = m.lineBefore(data, limit)
	m.shift(limit)
	return limit
}

// look notes every hit.
func (m *mask) look(data []byte) {
	last := uint32(0)
	for {
		m.scan = m.prints.next(data, m.scan)
		if m.scan+wire.PrefixSize > len(data) {
			return
		}
		hits := m.prints.at(data[m.scan:])
		if ahead := data[m.scan:min(m.scan+wire.PieceSize, len(data))]; blank(ahead) {
			if len(ahead) < wire.PieceSize && len(hits) > 0 {
				return // what follows tells
			}
			hits = m.prints.whole(hits)
		}
		if len(hits) > maxAlike {
			m.maskAlike(m.scan, hits)
			hits = nil
		}
		for _, p := range hits {
			if !p.Broken || m.brokenLine(data, m.scan) {
				m.waiting, last = append(m.waiting, candidate{start: m.scan, form: p.Form}), p.Form
			}
		}
		m.scan++
		if len(m.waiting) < maxWaiting {
			continue
		}
		m.decide(data, false)
		if len(m.waiting) > maxWaiting/2 || m.work > maxWork*(1+len(data)/chunk) {
			m.giveIn(data, last)
			return
		}
	}
}

// maskAlike masks what begins like many forms, as if it were the longest of them:
// to compare it with each would cost too much.
func (m *mask) maskAlike(start int, hits []wire.Prefix) {
	s := span{start: start, end: start, name: m.prints.Forms[hits[0].Form].Name}
	for _, p := range hits {
		s.end = max(s.end, start+withBreaks(int(m.prints.Forms[p.Form].Length)))
	}
	if n := len(m.found); n > 0 && m.found[n-1].name == s.name && !m.found[n-1].whole && m.found[n-1].end >= start {
		m.found[n-1].end = max(m.found[n-1].end, s.end) // not one for each position
		return
	}
	m.found = append(m.found, s)
}

// giveIn masks all that is not decided and not looked at, and what may follow it
// of a form that began there.
func (m *mask) giveIn(data []byte, hit uint32) {
	s := span{start: m.scan - 1, end: len(data) + rest(m.prints.Fingerprints), name: m.prints.Forms[hit].Name}
	for i, c := range m.waiting {
		if left := m.left(data, c); i == 0 || left < s.start {
			s.start, s.name = left, m.prints.Forms[c.form].Name
		}
	}
	m.found = append(m.found, s)
	m.waiting, m.scan = m.waiting[:0], len(data)
}

// blank: what indents text. As much of it as a piece has is none that matters.
func blank(b []byte) bool { return len(bytes.TrimLeft(b, " \t")) == 0 }

// brokenLine reports whether the first line break behind start ends a line of base64.
func (m *mask) brokenLine(data []byte, start int) bool {
	i := slices.Index(data[start:start+wire.PrefixSize], '\n') // -1: another prefix has this hash
	return i >= 0 && m.endsBase64(data, start+i)
}

// broken reports whether a prefix at start has a line break in it.
func broken(data []byte, start int) bool {
	return start+wire.PrefixSize <= len(data) && slices.Contains(data[start:start+wire.PrefixSize], '\n')
}

// decide compares every candidate whose bytes have come.
func (m *mask) decide(data []byte, end bool) {
	undecided := m.waiting[:0]
	for i := 0; i < len(m.waiting); i++ { // a match may append the piece that follows
		c := m.waiting[i]
		if c.need > len(data) && !end {
			undecided = append(undecided, c)
			continue
		}
		form := &m.prints.Forms[c.form]
		if c.next && !broken(data, c.start) { // then its prefix is found, or is not there
			continue
		}
		last, more := follow(data, c.start, form)
		if more > 0 {
			c.need = len(data) + more
			undecided = append(undecided, c)
			continue
		}
		if last >= 0 {
			m.work += last - c.start + hashCost
		}
		if last < 0 || !m.prints.equal(data[c.start:last], form) {
			continue
		}
		s := span{start: m.left(data, c), end: last, name: form.Name, whole: form.Kind&wire.Part == 0}
		if form.Kind&wire.WidenRight != 0 {
			if s.end, more = widen(data, last); more > 0 && !end {
				c.need = len(data) + more
				undecided = append(undecided, c)
				continue
			}
		}
		m.found = append(m.found, s)
		if form.Next != wire.NoNext {
			m.waiting = append(m.waiting, candidate{start: last, form: form.Next, need: last + wire.PrefixSize, next: true})
		}
	}
	m.waiting = undecided
}

// giveUp masks what is still held by a hit. A hit within a match of the same
// value is that match: another of its forms begins alike.
func (m *mask) giveUp(data []byte) {
	matches := len(m.found)
	for _, c := range m.waiting {
		form := &m.prints.Forms[c.form]
		if end, _ := follow(data, c.start, form); end < 0 || c.next && !broken(data, c.start) || m.explained(c.start, form.Name, m.found[:matches]) {
			continue
		}
		m.found = append(m.found, span{start: m.left(data, c), end: len(data), name: form.Name})
	}
	m.waiting, m.scan = nil, len(data)
}

// explained reports whether the prefix at start lies within a whole match.
func (m *mask) explained(start int, name uint16, matches []span) bool {
	within := func(s span) bool {
		return s.whole && s.name == name && s.start <= start && start+wire.PrefixSize <= s.end
	}
	return within(m.match) || slices.ContainsFunc(matches, within)
}

// left is where the mask of a candidate begins.
func (m *mask) left(data []byte, c candidate) int {
	if m.prints.Forms[c.form].Kind&wire.WidenLeft != 0 {
		return m.neighbour(data, c.start)
	}
	return c.start
}

// limit is where the bytes begin that must wait.
func (m *mask) limit(data []byte) int {
	m.passLineEnd(data)
	limit := m.scan
	if !slices.ContainsFunc(data[limit:], func(c byte) bool { return !isBase64(c) && c != '\r' && c != '\n' }) {
		limit = m.neighbour(data, limit) // a mask of base64 might begin at scan
	}
	for _, c := range m.waiting {
		limit = min(limit, m.left(data, c))
	}
	return limit
}

// passLineEnd has a line come out when it is whole, although fewer than 8 bytes
// follow its end's first: a form that begins before a line break and goes on
// behind it is one that says so (Early), or base64 in long lines.
func (m *mask) passLineEnd(data []byte) {
	if m.prints.Early {
		return
	}
	for i := len(data) - 1; i >= m.scan; i-- {
		if data[i] == '\n' {
			if !m.endsBase64(data, i) {
				m.scan = i + 1
			}
			return
		}
	}
}

// write emits what is before the limit, masked.
func (m *mask) write(data []byte, emit func([]byte)) {
	slices.SortFunc(m.found, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(b.end, a.end), cmp.Compare(a.name, b.name))
	})
	pos, rest := max(m.until, 0), m.found[:0]
	for _, s := range m.found {
		if s.start >= len(data) {
			rest = append(rest, s)
			continue
		}
		if s.whole {
			m.match = s
		}
		switch {
		case s.end <= m.until:
			continue
		case s.start > m.until || s.name != m.name: // else one mask stands for both
			if s.start > pos {
				emit(data[pos:s.start])
			}
			emit(m.prints.texts[s.name])
		}
		m.until, m.name, pos = s.end, s.name, s.end
	}
	m.found = rest
	if pos < len(data) {
		emit(data[pos:])
	}
}

// shift makes positions those of the bytes behind limit.
func (m *mask) shift(limit int) {
	m.scan -= limit
	m.until = max(m.until-limit, -1)
	for i := range m.waiting {
		m.waiting[i].start -= limit
		m.waiting[i].need -= limit
	}
	m.match.shift(limit)
	for i := range m.found {
		m.found[i].shift(limit)
	}
}

func (s *span) shift(n int) { s.start, s.end = s.start-n, s.end-n }
