package plugins

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a plugin can put into logs and errors, in bytes.
const (
	maxLine    = 4096
	maxMessage = 1024
	maxFields  = 16
)

// clean makes text of a plugin fit to show: one line, no control characters,
// at most max bytes.
func clean(s string, max int) string {
	clipped := len(s) > max
	if clipped {
		s = s[:max]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return ' '
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if clipped {
		s += " ..."
	}
	return s
}
