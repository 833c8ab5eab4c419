package memscan

import (
	"errors"
	"io/fs"
	"syscall"
)

// Exit codes of the command. Only Clean may be read as "nothing is there".
const (
	ExitClean = 0 // everything was read, nothing was found
	ExitFound = 1 // something was found
	ExitError = 2 // something could not be read, nothing was found in the rest
)

// Report is what a scan did and found.
type Report struct {
	Hits        []Hit     `json:"hits"`
	Errors      []Failure `json:"errors"`
	Processes   int       `json:"processes"`   // that were read whole
	Mappings    int       `json:"mappings"`    // of all processes together
	Files       int       `json:"files"`       // open files and files of trees
	Bytes       uint64    `json:"bytes"`       // read in all
	SecretBytes uint64    `json:"secretBytes"` // in memfd_secret mappings, which nobody can read
}

// Hit is one form of one canary in one place. It never holds the value.
type Hit struct {
	Place  string `json:"place"`  // which process and mapping, or which file
	Form   Form   `json:"form"`   // how the canary is written there
	Canary int    `json:"canary"` // index in the request
	Count  int    `json:"count"`  // how often
	First  uint64 `json:"first"`  // address or file offset of the first
}

// Failure is something that could not be read.
type Failure struct {
	Place  string `json:"place"`
	Reason string `json:"reason"`
	Denied bool   `json:"denied"` // for want of permission
}

// Exit is the report in one number.
func (r *Report) Exit() int {
	switch {
	case len(r.Hits) > 0:
		return ExitFound
	case len(r.Errors) > 0:
		return ExitError
	}
	return ExitClean
}

// Count adds up the hits.
func (r *Report) Count() int {
	n := 0
	for _, h := range r.Hits {
		n += h.Count
	}
	return n
}

// Denied says that the scan failed for want of permission and for no other reason.
func (r *Report) Denied() bool {
	for _, e := range r.Errors {
		if !e.Denied {
			return false
		}
	}
	return len(r.Errors) > 0
}

// reason drops the path of err: Failure.Place has it.
func reason(err error) string {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Op + ": " + path.Err.Error()
	}
	return err.Error()
}

func denied(err error) bool {
	return errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM)
}
