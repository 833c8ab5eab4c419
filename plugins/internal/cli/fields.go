// Package cli is what the adapters for vendors' command-line tools share: their
// common configuration, what they keep of a session, and how they read output.
package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// Fields are the members of an adapterConfig, taken out one by one. It reports
// every problem at once and quotes nothing: whatever stands in a field may be a
// secret. Names are case-sensitive, which encoding/json's are not. null is as
// good as absence.
type Fields struct {
	raw   map[string]json.RawMessage
	taken []string
	errs  []error
}

// NewFields reads one JSON object.
func NewFields(data []byte) (*Fields, error) {
	f := &Fields{}
	if err := json.Unmarshal(data, &f.raw); err != nil || f.raw == nil {
		return nil, &adapter.Problem{Message: "adapterConfig must be a JSON object"}
	}
	return f, nil
}

// Problem adds one.
func (f *Fields) Problem(field, message, hint string) {
	f.errs = append(f.errs, &adapter.Problem{Field: field, Message: message, Hint: hint})
}

// Done returns all problems. What was not taken is one.
func (f *Fields) Done() error {
	for _, name := range slices.Sorted(maps.Keys(f.raw)) {
		f.Problem(name, "unknown field", "there are "+strings.Join(f.taken, ", "))
	}
	return errors.Join(f.errs...)
}

func (f *Fields) take(name, want string, v any) {
	raw, ok := f.raw[name]
	f.taken = append(f.taken, name)
	delete(f.raw, name)
	if ok && json.Unmarshal(raw, v) != nil {
		f.Problem(name, "must be "+want, "")
	}
}

// String takes a string. It is empty if there is none.
func (f *Fields) String(name string) (s string) {
	f.take(name, "a string", &s)
	f.noNUL(name, s)
	return s
}

// Word takes a string of lower-case letters.
func (f *Fields) Word(name, hint string) (s string) {
	if f.take(name, "a string", &s); !regexp.MustCompile(`^[a-z]*$`).MatchString(s) {
		f.Problem(name, "must be a word of lower-case letters", hint)
	}
	return s
}

// Strings takes an array of strings.
func (f *Fields) Strings(name string) (out []string) {
	var list []*string // a null among them stays visible
	f.take(name, "an array of strings", &list)
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", name, i)
		if s == nil {
			f.Problem(at, "must be a string", "")
			continue
		}
		f.noNUL(at, *s)
		out = append(out, *s)
	}
	return out
}

// Bool takes a boolean that is def unless it is given.
func (f *Fields) Bool(name string, def bool) bool {
	f.take(name, "true or false", &def)
	return def
}

// Count takes a whole number from 0 to high. It is 0 if there is none.
func (f *Fields) Count(name string, high int) (n int) {
	want := fmt.Sprintf("a whole number from 0 to %d", high)
	if f.take(name, want, &n); n < 0 || n > high {
		f.Problem(name, "must be "+want, "")
	}
	return n
}

func (f *Fields) noNUL(field, s string) {
	if strings.Contains(s, "\x00") {
		f.Problem(field, "holds a NUL byte", "")
	}
}
