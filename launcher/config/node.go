package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// node is a JSON value with its place.
type node struct {
	parent *node
	name   string // of a member
	index  int    // of an item
	start  int    // offset in the file

	kind    jsontext.Kind  // one of n " 0 t f { [
	raw     jsontext.Value // as written
	str     string         // of a string
	members []*node        // of an object, in the file's order, without duplicates
	byName  map[string]*node
	items   []*node // of an array
}

// path is the JSON path, RFC 9535.
func (n *node) path() string {
	switch {
	case n.parent == nil:
		return "$"
	case n.parent.kind == '[':
		return fmt.Sprintf("%s[%d]", n.parent.path(), n.index)
	}
	return n.parent.path() + segment(n.name)
}

func segment(key string) string {
	if len(key) <= 64 && !randomLooking(key) && regexp.MustCompile(`^[A-Za-z_$][A-Za-z0-9_]*$`).MatchString(key) {
		return "." + key
	}
	return "[" + quote(key) + "]"
}

// quote prints a key on one line. Of a long or random one only the beginning:
// it may be a secret that was pasted in place of a name.
func quote(key string) string {
	if len(key) > 40 || randomLooking(key) {
		key = strings.ToValidUTF8(key[:4], "") + "..."
	}
	return strconv.Quote(key)
}

// randomLooking reports whether a key looks random: many digits, or letters and
// digits that change their kind more often than any name does.
func randomLooking(key string) bool {
	digits, changes, last := 0, 0, byte(0)
	for i := range len(key) {
		kind := kindOf(key[i])
		if kind == '0' {
			digits++
		}
		if i > 0 && kind != last && kind != 0 && last != 0 {
			changes++
		}
		last = kind
	}
	return len(key) >= 16 && digits >= 5 || len(key) >= 12 && 2*changes > len(key)
}

// kindOf is 0 for what stands between the words of a name.
func kindOf(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return '0'
	case 'A' <= c && c <= 'Z':
		return 'A'
	case 'a' <= c && c <= 'z':
		return 'a'
	}
	return 0
}

// describe says what a value is without saying which.
func (n *node) describe() string {
	switch n.kind {
	case '"':
		return fmt.Sprintf("a string of length %d", utf8.RuneCountInString(n.str))
	case '0':
		return "a number"
	case 't', 'f':
		return "a boolean"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "null"
}

// child is the member or item that a step of a JSON pointer names, or nil.
func (n *node) child(step string) *node {
	if n.kind == '{' {
		return n.byName[step]
	}
	i, err := strconv.Atoi(step)
	if err != nil || i < 0 || i >= len(n.items) {
		return nil
	}
	return n.items[i]
}
