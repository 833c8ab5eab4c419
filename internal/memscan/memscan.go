// Package memscan looks for canary values in a live process and in files. It is
// the project's proof that a value is not where it must not be.
//
// It reads every readable mapping through /proc/PID/mem, the environment and
// arguments, the regular files and memfds that the process has open, and whole
// directory trees. It looks for a canary as it is, in base64 and hex, and for
// 16-byte fragments of it.
//
// It does not see what lies in pipes, sockets, swapped-out kernel buffers or in
// memfd_secret(2) memory; it counts the latter. It is not a snapshot: the
// process runs on while it is read.
//
// Whoever calls Scan has the canaries in its own memory, so Scan belongs into
// a process of its own: the command in cmd/memscan. Run starts that command.
package memscan

import (
	"fmt"
	"os"
)

// Request says what to look for and where.
type Request struct {
	Canaries [][]byte // at least MinCanary bytes each
	PIDs     []int    // processes
	Trees    []string // files, or directories with everything below
	Skip     []string // absolute paths left out, as open files and in trees
}

// Scan does what the request says. What it could not do is in the report, never
// a reason to stop: see Report.Exit.
func Scan(r Request) (*Report, error) {
	if len(r.PIDs) == 0 && len(r.Trees) == 0 {
		return nil, fmt.Errorf("cannot scan: neither a process nor a tree is named")
	}
	needles, err := newNeedles(r.Canaries)
	if err != nil {
		return nil, err
	}
	s := &scanner{needles: needles, buffer: needles.buffer(), skip: map[string]bool{}, report: &Report{}}
	for _, path := range r.Skip {
		s.skip[path] = true
	}
	for _, pid := range r.PIDs {
		if pid == os.Getpid() {
			s.fail("process", pid, fmt.Errorf("it is the scanner"))
			continue
		}
		s.process(pid)
	}
	for _, root := range r.Trees {
		s.tree(root)
	}
	return s.report, nil
}

// scanner is the state of one Scan.
type scanner struct {
	needles *needles
	buffer  []byte
	skip    map[string]bool
	report  *Report
}

func (s *scanner) fail(what string, which any, err error) {
	s.report.Errors = append(s.report.Errors, Failure{
		Place:  fmt.Sprintf("%s %v", what, which),
		Reason: reason(err),
		Denied: denied(err),
	})
}
