package controlplane

import (
	"bytes"
	"fmt"
	"unicode"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// problems collects everything that is wrong with a request: shape is of the
// wrong form (400), meaning is well formed but not acceptable (422).
type problems struct {
	shape, meaning []Detail
}

func (p *problems) addShape(path, format string, args ...any) {
	p.shape = append(p.shape, Detail{path, fmt.Sprintf(format, args...)})
}

func (p *problems) addMeaning(path, format string, args ...any) {
	p.meaning = append(p.meaning, Detail{path, fmt.Sprintf(format, args...)})
}

// err is nil if there is no problem. A single problem of meaning is the
// message, as in Paperclip.
func (p *problems) err() error {
	switch {
	case len(p.shape) > 0:
		return invalid(append(p.shape, p.meaning...))
	case len(p.meaning) == 1:
		return unprocessable(p.meaning[0].Path+": "+p.meaning[0].Message, p.meaning...)
	case len(p.meaning) > 1:
		return unprocessable("Request cannot be processed", p.meaning...)
	}
	return nil
}

// required reports a field that is missing or null.
func required[T any](p *problems, path string, o optional[T]) bool {
	if !o.set {
		p.addShape(path, "is required")
	}
	return o.set
}

// notNull reports a field that is null and tells whether it is given.
func notNull[T any](p *problems, path string, o optional[T]) bool {
	if o.null {
		p.addShape(path, "must not be null")
	}
	return o.set
}

// Lengths of texts in bytes.
const (
	maxName        = 200
	maxDescription = 2000
)

// name checks a name that people read: one line, no control characters.
func (p *problems) name(path, s string) {
	if s == "" || len(s) > maxName {
		p.addShape(path, "must have 1 to %d bytes", maxName)
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			p.addShape(path, "must not hold control characters")
			return
		}
	}
}

// secretValue checks a value; it never tells more than its length.
func (p *problems) secretValue(path string, v plaintext) {
	b := v.bytes()
	switch {
	case len(b) == 0:
		p.addShape(path, "must not be empty")
	case len(b) <= protocol.MaxValueSize && bytes.IndexByte(b, 0) >= 0:
		p.addShape(path, "must not hold a NUL character: no environment can carry it")
	}
}
