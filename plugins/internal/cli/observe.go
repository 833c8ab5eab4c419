package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// What is kept of texts, in bytes.
const (
	MaxSummary  = 2000
	maxProgress = 200
	maxError    = 500
)

// Run is one run under observation: what it was planned with, and what became
// of it.
type Run struct {
	Carry   Carry
	Before  State // of the resumed session
	Session string
	Spoke   bool   // the model answered, so that there is something to resume
	Events  bool   // the tool got as far as to report anything
	Said    string // the end of what it printed in plain words
	Exit    adapter.Exit
	o       *adapter.Observation
}

// maxJSON bounds a line that is decoded, in bytes: in memory it takes dozens of
// times as much, and one process observes all agents of its type.
const maxJSON = 1 << 20

// Watch reads the whole output. Each JSON object goes to event.
func Watch(o *adapter.Observation, event func(*Run, []byte)) *Run {
	r := &Run{o: o}
	if json.Unmarshal(o.Carry, &r.Carry) != nil {
		r.Carry = Carry{}
	}
	if r.Carry.Resumed != "" {
		r.Before = stateOf(o.Session)
	}
	for line := range o.Lines {
		switch line = bytes.TrimSpace(line); {
		case len(line) > maxJSON:
		case len(line) > 0 && line[0] == '{' && json.Valid(line):
			event(r, line)
		case len(line) > 0:
			r.Said = tail(r.Said + "\n" + OneLine(string(line), maxError))
		}
	}
	r.Exit = o.Exit()
	return r
}

// tail keeps the end of a text.
func tail(s string) string {
	if len(s) > 4*maxError {
		s = s[len(s)-4*maxError:]
	}
	return s
}

// Progress reports the first line of a text.
func (r *Run) Progress(text string) {
	if line := OneLine(text, maxProgress); line != "" {
		r.o.Progress(line)
	}
}

// Keep is the session for the next run. state is what is known of it now. A
// session that never held an answer is not worth one: it may not be stored.
func (r *Run) Keep(state State) *adapter.Session {
	if !r.Spoke && r.Carry.Resumed == "" {
		return nil
	}
	id := r.Session
	if id == "" {
		id = r.Carry.Resumed
	}
	state.Fingerprint = r.Carry.Fingerprint
	return state.Session(id)
}

// Ended is why a run failed whose tool does not say so itself; empty if it did
// not.
func (r *Run) Ended() (string, adapter.ErrorClass) {
	said := OneLine(complaint(r.Said), maxError)
	switch {
	case strings.Contains(r.Exit.Reason, "timed out"):
		return "the run " + OneLine(r.Exit.Reason, maxError), adapter.ErrorTimeout
	case r.Exit.Reason != "":
		return "the run was ended: " + OneLine(r.Exit.Reason, maxError), adapter.ErrorOther
	case r.Exit.Signal != 0:
		return fmt.Sprintf("ended by signal %d", r.Exit.Signal), adapter.ErrorOther
	case r.Exit.Code == 0:
		return "", ""
	case said == "":
		return fmt.Sprintf("exit status %d", r.Exit.Code), adapter.ErrorOther
	case !r.Events: // it did not begin
		return said, adapter.ErrorConfig
	}
	return said, adapter.ErrorOther
}

// complaint is the last line that calls itself an error, else the last.
func complaint(said string) string {
	lines := strings.Split(said, "\n")
	for _, line := range slices.Backward(lines) {
		if strings.HasPrefix(strings.ToLower(line), "error") {
			return line
		}
	}
	return lines[len(lines)-1]
}

// StatusClass is the kind of an HTTP status of a model API.
func StatusClass(status int64) adapter.ErrorClass {
	switch {
	case status == 401 || status == 403:
		return adapter.ErrorAuth
	case status == 404: // no such model, or no such API
		return adapter.ErrorConfig
	case status == 429:
		return adapter.ErrorRateLimit
	case status >= 500 && status <= 599:
		return adapter.ErrorOverloaded
	}
	return adapter.ErrorOther
}
