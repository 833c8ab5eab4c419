package config

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agent-launcher/agent-launcher/internal/trust"
)

const (
	maxFile     = 1 << 20 // bytes of a file
	maxProblems = 100     // of a file; the same again of warnings
)

// document is a file that is being read.
type document struct {
	file     string
	data     []byte
	null     bool // null is the same as absence, as in a pasted Paperclip record
	problems Problems
	errors   int
	warnings int
}

// open reads a file that may be trusted and parses it. The node is nil, and a
// problem noted, unless the file holds a JSON object.
func open(file string) (*document, *node) {
	d := &document{file: file}
	data, err := read(file)
	if err != nil {
		d.problems, d.errors = Problems{about(file, err)}, 1
		return d, nil
	}
	d.data = data
	if i := invalidUTF8(data); i >= 0 {
		d.note(Problem{Path: "$", Message: "not UTF-8", Hint: "save the file as UTF-8"}, i)
		return d, nil
	}
	if bytes.HasPrefix(data, []byte("\ufeff")) {
		d.note(Problem{Path: "$", Message: "begins with a byte order mark", Hint: "save the file as UTF-8 without one"}, 0)
		return d, nil
	}
	n := d.parse()
	if n != nil && n.kind != '{' {
		d.fault(n, "must be an object, got %s", n.describe())
		n = nil
	}
	return d, n
}

func read(file string) ([]byte, error) {
	f, err := trust.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than the limit of %d bytes", maxFile)
	}
	return data, nil
}

func invalidUTF8(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size <= 1 {
			return i
		}
		i += size
	}
	return -1
}

// note adds a problem at an offset into the data. A generated or hostile file
// can hold a hundred thousand: nobody reads them, and a log must not.
func (d *document) note(p Problem, offset int) {
	count := &d.errors
	if p.Warning {
		count = &d.warnings
	}
	if *count++; *count > maxProblems {
		return
	}
	p.File = d.file
	p.Line, p.Col = d.position(offset)
	d.problems = append(d.problems, p)
}

// all returns what was noted, in the file's order.
func (d *document) all() Problems {
	out := slices.Clone(d.problems)
	slices.SortStableFunc(out, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	if more := d.errors + d.warnings - len(out); more > 0 {
		out = append(out, Problem{File: d.file, Line: 1, Col: 1, Path: "$", Warning: d.errors == 0,
			Message: fmt.Sprintf("%d more problems", more), Hint: "correct those above first"})
	}
	return out
}

func (d *document) position(offset int) (line, col int) {
	before := d.data[:min(offset, len(d.data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

// full counts an error and reports true if it would not be kept: then there is
// no need to find words for it.
func (d *document) full() bool {
	if d.errors < maxProblems {
		return false
	}
	d.errors++
	return true
}

// fault notes a problem of a value.
func (d *document) fault(n *node, format string, args ...any) {
	d.faultHint(n, fmt.Sprintf(format, args...), "")
}

// warn notes something that refuses nothing.
func (d *document) warn(n *node, message, hint string) {
	if d.warnings >= maxProblems {
		d.warnings++
		return
	}
	d.note(Problem{Path: n.path(), Message: message, Hint: hint, Warning: true}, n.start)
}

// faultHint notes a problem of a value and what to do about it.
func (d *document) faultHint(n *node, message, hint string) {
	if d.full() {
		return
	}
	d.note(Problem{Path: n.path(), Message: message, Hint: hint}, n.start)
}

// missing notes that an object lacks a member.
func (d *document) missing(n *node, key, doc string) {
	message := "is missing"
	if doc != "" {
		sentence, _, _ := strings.Cut(doc, ". ")
		message += ": " + strings.ToLower(sentence[:1]) + strings.TrimSuffix(sentence[1:], ".")
	}
	d.note(Problem{Path: n.path() + segment(key), Message: message}, n.start)
}
