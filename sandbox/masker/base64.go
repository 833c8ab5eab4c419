package masker

import "github.com/agent-launcher/agent-launcher/sandbox/wire"

// isBase64 reports whether c is a character of one of both alphabets.
func isBase64(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_'
}

// follow returns where a form ends that begins at start, or how many more bytes
// it takes at least to know. In base64 a line break may stand before each
// character but the first; -1 means that something else does.
func follow(data []byte, start int, form *wire.Form) (end, more int) {
	if form.Kind&wire.Base64 == 0 {
		end = start + int(form.Length)
		return end, max(end-len(data), 0)
	}
	i := start
	for left := int(form.Length); left > 0; left-- {
		i = skipBreak(data, i)
		if i >= len(data) {
			return 0, left
		}
		if !isBase64(data[i]) {
			return -1, 0
		}
		i++
	}
	return i, 0
}

// skipBreak passes a line break. One that is cut in the middle ends the data.
func skipBreak(data []byte, i int) int {
	if i < len(data) && data[i] == '\r' {
		if i+1 == len(data) {
			return i + 1
		}
		if data[i+1] == '\n' {
			i++
		}
	}
	if i < len(data) && data[i] == '\n' {
		i++
	}
	return i
}

// widen returns the end of the group of base64 in which a form ends at i: one
// more character, and padding.
func widen(data []byte, i int) (end, more int) {
	next := skipBreak(data, i)
	if next >= len(data) {
		return i, 1
	}
	if !isBase64(data[next]) {
		return i, 0
	}
	for i = next + 1; i < len(data) && data[i] == '=' && i < next+3; i++ {
	}
	if i == len(data) && i < next+3 {
		return i, 1
	}
	return i, 0
}

// neighbour is where the character of base64 before i begins, over a line break
// too; without one it is i.
func (m *mask) neighbour(data []byte, i int) int {
	j := i
	if j > 0 && data[j-1] == '\n' && m.endsBase64(data, j-1) {
		j--
		if j > 0 && data[j-1] == '\r' {
			j--
		}
	}
	if j > 0 && isBase64(data[j-1]) {
		return j - 1
	}
	return i
}

// endsBase64 reports whether the line break at i ends a line of base64.
func (m *mask) endsBase64(data []byte, i int) bool {
	if i > 0 && data[i-1] == '\r' {
		i--
	}
	return m.lineBefore(data, i) >= wire.MinBase64Line
}

// lineBefore counts the characters of base64 directly before i, up to MinBase64Line.
func (m *mask) lineBefore(data []byte, i int) int {
	n := 0
	for ; n < wire.MinBase64Line && i-n > 0; n++ {
		if !isBase64(data[i-n-1]) {
			return n
		}
	}
	if i-n == 0 {
		n += m.line
	}
	return min(n, wire.MinBase64Line)
}
