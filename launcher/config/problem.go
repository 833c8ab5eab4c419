// Package config reads config.json and the adapter files: strictly, and with
// every problem at once, each with its place. Nothing else of the daemon reads
// them. It asks neither plugins nor the control plane, and opens no key, token
// or plugin file.
package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a file. It quotes no value: one may be a
// secret that was pasted into the wrong place.
type Problem struct {
	File      string
	Line, Col int    // of the value at Path, or of the object that lacks it; from 1, Col in bytes. 1:1 is the file as a whole
	Path      string // JSON path, as $.adapterConfig.env.TOKEN
	Message   string
	Hint      string // what to do, may be empty
	Warning   bool   // the file is usable all the same
}

// Error is file:line:col: path: message, on one line.
func (p Problem) Error() string {
	kind := ""
	if p.Warning {
		kind = "warning: "
	}
	return fmt.Sprintf("%s:%d:%d: %s%s: %s", p.File, p.Line, p.Col, kind, p.Path, p.Message)
}

// Problems is everything wrong with some files, in their order.
type Problems []Problem

// Error is one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// about makes a problem of a whole file, with the error's own hint if it has one.
func about(file string, err error) Problem {
	p := Problem{File: file, Line: 1, Col: 1, Path: "$", Message: err.Error()}
	if h, ok := err.(interface{ Hint() string }); ok {
		p.Hint = h.Hint()
	}
	return p
}
