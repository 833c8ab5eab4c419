package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// node is a JSON value with its place.
type node struct {
	kind   jsontext.Kind
	raw    jsontext.Value
	str    string
	offset int64
	path   string
	keys   []string
	fields map[string]*node
	items  []*node
}

// document is a file that is being read.
type document struct {
	file     string
	data     []byte
	problems Problems
}

func (d *document) at(offset int64, path, message, hint string) {
	before := d.data[:min(int(offset), len(d.data))]
	line := bytes.Count(before, []byte("\n")) + 1
	col := len(before) - (bytes.LastIndexByte(before, '\n') + 1) + 1
	d.problems = append(d.problems, Problem{File: d.file, Line: line, Col: col, Path: path, Message: message, Hint: hint})
}

func (d *document) fault(n *node, format string, args ...any) {
	d.at(n.offset, n.path, fmt.Sprintf(format, args...), "")
}

// parse reads the whole document into nodes; nil means a problem was noted.
func (d *document) parse() *node {
	dec := jsontext.NewDecoder(bytes.NewReader(d.data))
	n, err := d.value(dec, "$")
	if err == nil {
		if _, err = dec.ReadToken(); err == io.EOF {
			return n
		}
		if err == nil {
			d.at(dec.InputOffset()-1, "$", "something follows the JSON value", "")
			return nil
		}
	}
	d.syntax(dec.InputOffset(), err)
	return nil
}

func (d *document) syntax(offset int64, err error) {
	reason := err.Error()
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		offset, reason = syntactic.ByteOffset, syntactic.Err.Error()
	}
	if len(bytes.TrimSpace(d.data)) == 0 {
		reason = "the file is empty"
	}
	d.at(offset, "$", "not JSON: "+cut(reason), "")
}

func (d *document) value(dec *jsontext.Decoder, path string) (*node, error) {
	kind := dec.PeekKind()
	n := &node{kind: kind, path: path}
	if kind != '{' && kind != '[' {
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		n.offset = dec.InputOffset() - int64(len(raw))
		n.raw = raw.Clone()
		if kind == '"' {
			s, err := jsontext.AppendUnquote(nil, raw)
			if err != nil {
				return nil, err
			}
			n.str = string(s)
		}
		return n, nil
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	n.offset = dec.InputOffset() - 1
	if kind == '{' {
		return n, d.object(dec, n)
	}
	return n, d.array(dec, n)
}

func (d *document) object(dec *jsontext.Decoder, n *node) error {
	n.fields = map[string]*node{}
	for dec.PeekKind() != '}' {
		tok, err := dec.ReadToken()
		if err != nil {
			return err
		}
		key := tok.String()
		child, err := d.value(dec, n.path+"."+key)
		if err != nil {
			return err
		}
		n.keys = append(n.keys, key)
		n.fields[key] = child
	}
	_, err := dec.ReadToken()
	n.raw = d.data[n.offset:dec.InputOffset()]
	return err
}

func (d *document) array(dec *jsontext.Decoder, n *node) error {
	for dec.PeekKind() != ']' {
		child, err := d.value(dec, fmt.Sprintf("%s[%d]", n.path, len(n.items)))
		if err != nil {
			return err
		}
		n.items = append(n.items, child)
	}
	_, err := dec.ReadToken()
	n.raw = d.data[n.offset:dec.InputOffset()]
	return err
}
