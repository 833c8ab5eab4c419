package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// printer prints one line for each step: its name, then what it showed. On a
// terminal it colours, in a pipe and with NO_COLOR it writes plain ASCII.
type printer struct {
	out    io.Writer
	colour bool
}

func newPrinter(f *os.File) *printer {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return &printer{out: f, colour: err == nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// SGR parameters, ECMA-48.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p *printer) paint(sgr, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

func (p *printer) title(text string) { fmt.Fprintln(p.out, p.paint(bold, text)) }

// ok prints a step that held.
func (p *printer) ok(name, format string, args ...any) {
	p.step(green, "✓", "ok", name, fmt.Sprintf(format, args...))
}

// skip prints a step that could not be shown here.
func (p *printer) skip(name, format string, args ...any) {
	p.step(yellow, "-", "--", name, fmt.Sprintf(format, args...))
}

func (p *printer) step(sgr, mark, ascii, name, text string) {
	if !p.colour {
		mark = ascii
	}
	fmt.Fprintf(p.out, "%s  %s %s\n", p.paint(sgr, mark), p.paint(bold, fmt.Sprintf("%-14s", name)), text)
}

// note prints a line below a step.
func (p *printer) note(format string, args ...any) {
	indent := "   "
	if !p.colour {
		indent = "    "
	}
	fmt.Fprintln(p.out, indent+fmt.Sprintf("%-15s", "")+p.paint(dim, fmt.Sprintf(format, args...)))
}

func (p *printer) failed(text string) string { return p.paint(red, text) }
