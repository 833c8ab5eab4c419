package plugins

import "strings"

// Kind says what went wrong with a plugin.
type Kind string

// The kinds of an Error.
const (
	KindUnknown Kind = "unknown" // there is no such plugin
	KindStart   Kind = "start"   // it does not start, or must not
	KindCall    Kind = "call"    // it does not answer, or not with an answer
	KindConfig  Kind = "config"  // it refuses the agent's configuration
	KindAnswer  Kind = "answer"  // its answer breaks a rule
	KindClosed  Kind = "closed"  // the host is closed
)

// Error is the error of Describe and Plan. Several may be joined
// (errors.Join): one per problem in a configuration. Its texts come from the
// plugin in part; they are bounded and hold no control characters.
type Error struct {
	Plugin  string
	Kind    Kind
	Field   string // KindConfig: place in adapterConfig; KindAnswer: field of the plan or description
	Message string
	Hint    string // what to do about it, may be empty

	cause error
}

// Error names plugin, field and reason.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("adapter " + e.Plugin + ": ")
	switch {
	case e.Kind == KindConfig && e.Field != "":
		b.WriteString("adapterConfig." + e.Field + ": ")
	case e.Kind == KindAnswer:
		b.WriteString("refused answer: " + e.Field + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Unwrap gives the end of a context, where that was the cause.
func (e *Error) Unwrap() error { return e.cause }

func closedError(plugin string) *Error {
	return &Error{Plugin: clean(plugin, maxTypeLen), Kind: KindClosed, Message: "the plugin host is closed"}
}
