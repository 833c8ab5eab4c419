// Package config reads config.json and the adapter files: strictly, and with
// every problem at once, each with its place.
package config

import (
	"fmt"
	"strings"
)

// Problem is one thing wrong with a file.
type Problem struct {
	File      string
	Line, Col int    // from 1
	Path      string // JSON path
	Message   string
	Hint      string
	Warning   bool
}

// Error is file:line:col: path: message.
func (p Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s: %s", p.File, p.Line, p.Col, p.Path, p.Message)
}

// Problems is everything wrong with some files.
type Problems []Problem

// Error is one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}
