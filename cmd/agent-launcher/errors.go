package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

// hinter is an error that knows what to do about it.
type hinter interface{ Hint() string }

// complain prints an error as "agent-launcher: cannot X: why" and, where it
// helps, a hint. Problems of files come one a line, each with its place.
func complain(w io.Writer, err error) {
	var problems config.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			printProblem(w, p)
		}
		return
	}
	fmt.Fprintf(w, "agent-launcher: %v\n", err)
	var h hinter
	if errors.As(err, &h) && h.Hint() != "" {
		fmt.Fprintf(w, "hint: %s\n", h.Hint())
	}
}

func printProblem(w io.Writer, p config.Problem) {
	fmt.Fprintf(w, "agent-launcher: %s\n", p.Error())
	if p.Hint != "" {
		fmt.Fprintf(w, "hint: %s\n", p.Hint)
	}
}
