package controlplane

// Hint is an error with advice for the operator, which a command prints on a
// line of its own. errors.As finds it.
type Hint struct {
	Advice string
	err    error
}

func withHint(err error, advice string) error { return &Hint{Advice: advice, err: err} }

// Error is the error's text without the advice.
func (h *Hint) Error() string { return h.err.Error() }

// Unwrap returns the error that the advice is about.
func (h *Hint) Unwrap() error { return h.err }
