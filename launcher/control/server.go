package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Daemon is what the server serves.
type Daemon interface {
	Status() *Status
	Ready() bool
	// Drain starts no heartbeat any more, ends services, and returns when nothing
	// runs.
	Drain(ctx context.Context) error
	// Undrain lets heartbeats start again.
	Undrain()
	// Wake pokes an agent and lets it go if it is held. With wait it returns
	// when the heartbeat that this caused has ended, its run included.
	Wake(ctx context.Context, agent string, about Wake, wait bool) (*Woken, error)
	// Stop ends the agent's run and holds the agent.
	Stop(ctx context.Context, agent string) error
	Reload() error
	// Explain says what the agent may do, also with these subjects, and why it
	// does not run.
	Explain(ctx context.Context, agent string, about Subjects) (*Explanation, error)
	// Logs finds the agent and returns a function that sends the output of its
	// last finished run, then that of the current one, with follow until its
	// end or that of ctx.
	Logs(agent string, follow bool) (func(context.Context, *Stream) error, error)
	// Metrics serves the metrics.
	Metrics() http.Handler
	// IsAgent reports whether who connected to the unix socket fd, with that
	// uid, is part of an agent.
	IsAgent(fd int, uid uint32) bool
}

// ErrNoAgent says that no agent has that name.
var ErrNoAgent = errors.New("no such agent")

// Listen makes the control socket: mode 0660, and nothing else at its place
// that still answers.
func Listen(path string) (net.Listener, error) {
	// A connection alone proves nothing: a child that a killed daemon was just
	// forking holds its socket open until execve.
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := NewClient(path).alive(ctx); err == nil {
		return nil, fmt.Errorf("cannot listen on %s: another daemon answers there", path)
	}
	if err := removeDead(path); err != nil {
		return nil, err
	}
	// The socket must never exist with a wider mode, not for a moment.
	old := unix.Umask(0o117)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on the control socket: %w", err)
	}
	return l, nil
}

// removeDead removes a socket that nobody serves, and nothing else: a typo may
// have named any file.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot look at the control socket's place: %w", err)
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("cannot listen on %s: it exists and is no socket", path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("cannot replace a dead control socket: %w", err)
	}
	return nil
}

type peerKey struct{}

// NewServer serves d. The caller runs Serve on it and closes it.
func NewServer(d Daemon, socketGroup uint32) *http.Server {
	return newServer(d, socketGroup, limits{connections: 256, readers: 32, waiting: 128, patience: 30 * time.Second})
}

func newServer(d Daemon, socketGroup uint32, l limits) *http.Server {
	mux := http.NewServeMux()
	b := newBounds(l)
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { b.answer(w, r, f) })
	}
	handle("GET /v1/health", func(r *http.Request) (any, error) { return health(d, r) })
	handle("GET /v1/status", func(*http.Request) (any, error) { return d.Status(), nil })
	mux.HandleFunc("POST /v1/agents/{name}/wake", func(w http.ResponseWriter, r *http.Request) {
		about, err := readWake(w, r)
		b.answer(w, r, func(r *http.Request) (any, error) { return b.wake(d, r, about, err) })
	})
	// Not bounded: to stop an agent must always be possible.
	handle("POST /v1/agents/{name}/stop", func(r *http.Request) (any, error) {
		return struct{}{}, d.Stop(r.Context(), r.PathValue("name"))
	})
	handle("POST /v1/drain", func(r *http.Request) (any, error) {
		if r.URL.Query().Get("end") == "true" {
			d.Undrain()
			return struct{}{}, nil
		}
		return struct{}{}, d.Drain(r.Context())
	})
	handle("GET /v1/agents/{name}/explain", func(r *http.Request) (any, error) { return explain(d, r) })
	handle("POST /v1/reload", func(*http.Request) (any, error) { return struct{}{}, d.Reload() })
	mux.Handle("GET /metrics", d.Metrics())
	mux.HandleFunc("GET /v1/agents/{name}/logs", func(w http.ResponseWriter, r *http.Request) { b.logs(d, w, r) })
	return &http.Server{
		Handler:           authorize(mux),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ConnState:         b.connState,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			// Not here, where the next connection waits.
			return context.WithValue(ctx, peerKey{}, sync.OnceValue(func() *Error { return refusal(c, socketGroup, d.IsAgent) }))
		},
	}
}

// authorize refuses agents, and peers that are neither root, nor the daemon's
// user, nor in the socket's group. The mode of the socket says the latter too; a
// mode can be changed by mistake.
func authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if no := r.Context().Value(peerKey{}).(func() *Error)(); no != nil {
			reply(w, http.StatusForbidden, *no)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrNoAgent) {
		reply(w, http.StatusNotFound, Error{Error: err.Error(), Hint: "agent-launcher status lists the agents"})
		return
	}
	var busy *busyError
	if errors.As(err, &busy) {
		reply(w, http.StatusServiceUnavailable, Error{Error: busy.Error(), Hint: busy.hint})
		return
	}
	reply(w, http.StatusConflict, Error{Error: err.Error()})
}

func (b *bounds) wake(d Daemon, r *http.Request, about Wake, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	wait := r.URL.Query().Get("wait") == "true"
	if wait && !b.waiting.enter() {
		return nil, tooMany("callers wait for runs", cap(b.waiting))
	} else if wait {
		defer b.waiting.leave()
	}
	return d.Wake(r.Context(), r.PathValue("name"), about, wait)
}

// readWake reads the body of a wake, if there is one, from a client that sends
// it at once.
func readWake(rw http.ResponseWriter, r *http.Request) (w Wake, err error) {
	rc := http.NewResponseController(rw) // a unix socket has deadlines
	_ = rc.SetReadDeadline(time.Now().Add(5 * time.Second))
	defer func() { _ = rc.SetReadDeadline(time.Time{}) }()
	const limit = MaxContext + 2*MaxTask + 1000
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return w, fmt.Errorf("cannot read what the wake is about: %w", err)
	}
	if len(body) > limit {
		return w, fmt.Errorf("what the wake is about takes more than %d bytes", limit)
	}
	if len(body) == 0 {
		return w, nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&w); err != nil {
		return w, fmt.Errorf("cannot read what the wake is about: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return w, errors.New("cannot read what the wake is about: there is more than one JSON object")
	}
	return w, w.check()
}

func (w *Wake) check() error {
	if len(w.Task) > MaxTask || strings.ContainsFunc(w.Task, unicode.IsControl) || !utf8.ValidString(w.Task) {
		return fmt.Errorf("a task is text of at most %d bytes without control characters", MaxTask)
	}
	if w.Context == nil {
		return nil
	}
	var object map[string]json.RawMessage
	if len(w.Context) > MaxContext || json.Unmarshal(w.Context, &object) != nil || object == nil {
		return fmt.Errorf("the context is no JSON object of at most %d bytes", MaxContext)
	}
	return nil
}

func health(d Daemon, r *http.Request) (any, error) {
	if r.URL.Query().Get("level") == "ready" && !d.Ready() {
		return nil, errors.New("not ready: the control plane has not answered yet")
	}
	return map[string]string{"status": "ok"}, nil
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the peer may have hung up; nobody else to tell
}
