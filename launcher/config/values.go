package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

const (
	// idPattern is what an id may be, of protocol.MaxIDLen bytes: Paperclip's are
	// UUIDs. An id becomes part of a URL and of file names.
	idPattern = `^[A-Za-z0-9_-][A-Za-z0-9._:-]*$`
	// typePattern and maxType are the rule of plugins: a type is a file's name.
	typePattern = `^[a-z0-9_]+$`
	maxType     = 64
)

// text is a string.
func text(f field, to *string) field {
	f.typ = "string"
	f.set = func(_ *document, n *node) { *to = n.str }
	return f
}

// matching is a string of at most long bytes that matches a pattern; what says
// so in words.
func matching(f field, to *string, pattern string, long int, what string) field {
	f.typ, f.schema = "string", map[string]any{"pattern": pattern, "maxLength": long}
	f.set = func(d *document, n *node) {
		if *to = n.str; len(n.str) > long || !regexp.MustCompile(pattern).MatchString(n.str) {
			d.fault(n, "must be %s, got %s", what, n.describe())
		}
	}
	return f
}

func id(f field, to *string) field {
	return matching(f, to, idPattern, protocol.MaxIDLen, fmt.Sprintf("an id: 1 to %d letters, digits and _ - . :", protocol.MaxIDLen))
}

// bounds of a number. zero says that 0 is allowed below low.
type bounds struct {
	low, high float64
	zero      bool
	unit      string // empty or "seconds"
}

func (b bounds) String() string {
	words := "a number "
	if b.unit != "" {
		words += "of " + b.unit + " "
	}
	if b.zero {
		words += "that is 0 or "
	}
	return fmt.Sprintf("%sfrom %v to %v", words, b.low, b.high)
}

func (b bounds) schema(def float64) map[string]any {
	s := map[string]any{"minimum": b.low, "maximum": b.high, "default": def}
	if b.zero {
		s = map[string]any{"minimum": 0, "maximum": b.high, "not": map[string]any{"exclusiveMinimum": 0, "exclusiveMaximum": b.low}}
	}
	return s
}

// number is a number within bounds; to starts as the default.
func number(f field, to *float64, b bounds) field {
	f.typ, f.want, f.schema = "number", b.String(), b.schema(*to)
	f.set = func(d *document, n *node) {
		v, err := strconv.ParseFloat(string(n.raw), 64)
		if err == nil && (b.low <= v && v <= b.high || b.zero && v == 0) {
			*to = v
			return
		}
		if len(n.raw) > 12 { // may be anything, even a secret
			d.fault(n, "must be %s, got a number of %d characters", b, len(n.raw))
			return
		}
		d.fault(n, "must be %s, got %s", b, n.raw)
	}
	return f
}

// whole is a number without a fraction; take is told when it is read.
func whole(f field, to *float64, b bounds, take func()) field {
	f = number(f, to, b)
	set := f.set
	f.set = func(d *document, n *node) {
		if set(d, n); *to != math.Trunc(*to) {
			d.fault(n, "must be a whole number, got %s", n.raw)
		}
		take()
	}
	return f
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// choice is one of some words; later ones are known and not built yet.
func choice(f field, to *string, now []string, later ...string) field {
	f.typ, f.schema = "string", map[string]any{"enum": now}
	f.set = func(d *document, n *node) {
		switch *to = n.str; {
		case slices.Contains(now, n.str):
		case slices.Contains(later, n.str):
			d.faultHint(n, "not built yet: "+f.name+" "+n.str, "this version knows "+strings.Join(now, ", "))
		default:
			d.fault(n, "must be %s, got %s", strings.Join(now, " or "), n.describe())
		}
	}
	return f
}
