package cli

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Decode is json.Unmarshal that leaves out what has not the type it should.
func Decode(data []byte, v any) bool {
	err := json.Unmarshal(data, v)
	var mismatch *json.UnmarshalTypeError
	return err == nil || errors.As(err, &mismatch)
}

// Count is a number of tokens in somebody's JSON: whatever else stands there is
// 0. The bound leaves room for sums.
type Count int64

// UnmarshalJSON implements json.Unmarshaler.
func (c *Count) UnmarshalJSON(data []byte) error {
	*c = Count(number(data, 1<<40))
	return nil
}

// USD is an amount of money in somebody's JSON, like Count.
type USD float64

// UnmarshalJSON implements json.Unmarshaler.
func (u *USD) UnmarshalJSON(data []byte) error {
	*u = USD(number(data, 1e9))
	return nil
}

func number(data []byte, high float64) float64 {
	f, err := strconv.ParseFloat(string(data), 64)
	if err != nil || !(f > 0) {
		return 0
	}
	return min(f, high)
}

// Clip cuts a text to n bytes of whole, printable characters.
func Clip(s string, n int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= n {
		return s
	}
	const more = "..."
	cut := n - len(more)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}

// OneLine is the first line of a text that has something in it, without
// control characters.
func OneLine(s string, n int) string {
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line))
		if line != "" {
			return Clip(line, n)
		}
	}
	return ""
}
