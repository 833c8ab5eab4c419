package forms

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	letters   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	base64Std = letters + "+/"
	base64URL = letters + "-_"
	hexLower  = "0123456789abcdef"
	hexUpper  = "0123456789ABCDEF"
)

// escapes are the encodings but base64. Where one changes nothing, its
// fingerprint is that of the raw form, and is kept once.
var escapes = []func(*cutter, []byte){
	func(c *cutter, value []byte) { hex(c, value, hexLower) },
	func(c *cutter, value []byte) { hex(c, value, hexUpper) },
	func(c *cutter, value []byte) { url(c, value, "-_.~", false) },      // RFC 3986
	func(c *cutter, value []byte) { url(c, value, "-_.~", true) },       // forms, Go's QueryEscape
	func(c *cutter, value []byte) { url(c, value, "-_.~/", false) },     // Python's quote
	func(c *cutter, value []byte) { url(c, value, "-_.~!*'()", false) }, // JavaScript's encodeURIComponent
	func(c *cutter, value []byte) { json(c, value, false, false) },      // JavaScript, jq
	func(c *cutter, value []byte) { json(c, value, true, false) },       // Go
	func(c *cutter, value []byte) { json(c, value, false, true) },       // Python
}

func raw(c *cutter, value []byte) {
	for _, b := range value {
		c.put(b)
	}
}

// base64 encodes the characters that value determines alone: the first one
// begins at its bit.
func base64(c *cutter, value []byte, alphabet string, bit int) {
	for ; bit+6 <= 8*len(value); bit += 6 {
		two := uint(value[bit/8]) << 8
		if bit/8+1 < len(value) {
			two |= uint(value[bit/8+1])
		}
		c.put(alphabet[two>>(10-bit%8)&63])
	}
}

func hex(c *cutter, value []byte, digits string) {
	for _, b := range value {
		c.put(digits[b>>4])
		c.put(digits[b&15])
	}
}

// url is percent-encoding; safe stays as it is, beside letters and digits.
func url(c *cutter, value []byte, safe string, plus bool) {
	for _, b := range value {
		switch {
		case plus && b == ' ':
			c.put('+')
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', strings.IndexByte(safe, b) >= 0:
			c.put(b)
		default:
			c.put('%')
			c.put(hexUpper[b>>4])
			c.put(hexUpper[b&15])
		}
	}
}

// json is the inside of a JSON string: html escapes <, >, & and the line
// separators too, as Go does, ascii all that is not, as Python does.
func json(c *cutter, value []byte, html, ascii bool) {
	for len(value) > 0 {
		r, size := utf8.DecodeRune(value)
		short := strings.IndexByte("\"\\\b\f\n\r\t", value[0])
		switch {
		case short >= 0:
			c.put('\\')
			c.put(`"\bfnrt`[short])
		case r < ' ', html && (r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029'),
			ascii && r >= utf8.RuneSelf && r <= 0xffff && r != utf8.RuneError:
			unicode(c, r)
		case ascii && r > 0xffff:
			high, low := utf16.EncodeRune(r)
			unicode(c, high)
			unicode(c, low)
		default:
			raw(c, value[:size])
		}
		value = value[size:]
	}
}

func unicode(c *cutter, r rune) {
	c.put('\\')
	c.put('u')
	for shift := 12; shift >= 0; shift -= 4 {
		c.put(hexLower[r>>shift&15])
	}
}
