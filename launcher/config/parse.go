package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth bounds the nesting of a file.
const maxDepth = 100

// parse reads the whole document into nodes; nil means a problem was noted.
func (d *document) parse() *node {
	dec := jsontext.NewDecoder(bytes.NewReader(d.data), jsontext.AllowDuplicateNames(true))
	root := &node{}
	err := d.value(dec, root, 0)
	if err == nil {
		if _, err = dec.ReadToken(); err == io.EOF {
			return root
		}
		if err == nil {
			d.note(Problem{Path: "$", Message: "something follows the JSON value"}, int(dec.InputOffset())-1)
			return nil
		}
	}
	d.syntax(int(dec.InputOffset()), err)
	return nil
}

func (d *document) value(dec *jsontext.Decoder, n *node, depth int) error {
	if n.kind = dec.PeekKind(); n.kind != '{' && n.kind != '[' {
		return d.scalar(dec, n)
	}
	if depth >= maxDepth {
		return fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	n.start = int(dec.InputOffset()) - 1
	inside := d.object
	if n.kind == '[' {
		inside = d.array
	}
	if err := inside(dec, n, depth+1); err != nil {
		return err
	}
	_, err := dec.ReadToken()
	n.raw = d.data[n.start:dec.InputOffset()]
	return err
}

func (d *document) scalar(dec *jsontext.Decoder, n *node) error {
	raw, err := dec.ReadValue()
	if err != nil {
		return err
	}
	n.start, n.raw = int(dec.InputOffset())-len(raw), raw.Clone()
	if n.kind == '"' {
		unquoted, err := jsontext.AppendUnquote(nil, raw)
		n.str = string(unquoted)
		return err
	}
	return nil
}

func (d *document) object(dec *jsontext.Decoder, n *node, depth int) error {
	n.byName = map[string]*node{}
	for dec.PeekKind() != '}' {
		key, err := dec.ReadValue()
		if err != nil {
			return err
		}
		name, err := jsontext.AppendUnquote(nil, key)
		if err != nil {
			return err
		}
		m := &node{parent: n, name: string(name)}
		if err := d.value(dec, m, depth); err != nil {
			return err
		}
		if first := n.byName[m.name]; first != nil {
			d.duplicate(m, first)
			continue
		}
		n.byName[m.name] = m
		n.members = append(n.members, m)
	}
	return nil
}

func (d *document) duplicate(m, first *node) {
	if d.full() {
		return
	}
	line, col := d.position(first.start)
	d.faultHint(m, "duplicate key "+quote(m.name), fmt.Sprintf("it is at %d:%d already", line, col))
}

func (d *document) array(dec *jsontext.Decoder, n *node, depth int) error {
	for dec.PeekKind() != ']' {
		item := &node{parent: n, index: len(n.items)}
		if err := d.value(dec, item, depth); err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	return nil
}

// syntax notes where the text stops being JSON, and the usual reasons.
func (d *document) syntax(offset int, err error) {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		offset, err = int(syntactic.ByteOffset), syntactic.Err
	}
	quoted := regexp.MustCompile("`[^`]*`? ?") // part of the text, which may be a secret
	p := Problem{Path: "$", Message: "not JSON: " + quoted.ReplaceAllString(err.Error(), "")}
	rest := bytes.TrimLeft(d.data[min(offset, len(d.data)):], " \t\r\n")
	begins := func(with string) bool { return bytes.HasPrefix(rest, []byte(with)) }
	after := bytes.TrimLeft(bytes.TrimPrefix(rest, []byte(",")), " \t\r\n")
	switch {
	case len(bytes.TrimSpace(d.data)) == 0:
		p.Message = "not JSON: the file is empty"
	case begins(",") && bytes.ContainsAny(after[:min(1, len(after))], "}]"):
		p.Hint = "remove the comma"
	case begins("/") || begins("#"):
		p.Hint = "JSON has no comments"
	case begins("'"):
		p.Hint = "strings are in double quotes"
	}
	d.note(p, offset)
}
