package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Daemon is what the server serves.
type Daemon interface {
	Status() *Status
	Ready() bool
	// Wake pokes an agent and lets it go if it is held. With wait it returns
	// when the heartbeat that this caused has ended, its run included.
	Wake(ctx context.Context, agent string, wait bool) (*Woken, error)
	// Stop ends the agent's run and holds the agent.
	Stop(ctx context.Context, agent string) error
	Reload() error
	// Logs finds the agent and returns a function that sends the output of its
	// last finished run, then that of the current one, with follow until its
	// end, to a socket.
	Logs(agent string, follow bool) (func(ctx context.Context, socket *net.UnixConn) error, error)
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
	mux := http.NewServeMux()
	handle(mux, "GET /v1/health", d, health)
	handle(mux, "GET /v1/status", d, func(d Daemon, _ *http.Request) (any, error) { return d.Status(), nil })
	handle(mux, "POST /v1/agents/{name}/wake", d, func(d Daemon, r *http.Request) (any, error) {
		return d.Wake(r.Context(), r.PathValue("name"), r.URL.Query().Get("wait") == "true")
	})
	handle(mux, "POST /v1/agents/{name}/stop", d, func(d Daemon, r *http.Request) (any, error) {
		return struct{}{}, d.Stop(r.Context(), r.PathValue("name"))
	})
	handle(mux, "POST /v1/reload", d, func(d Daemon, _ *http.Request) (any, error) { return struct{}{}, d.Reload() })
	mux.HandleFunc("GET /v1/agents/{name}/logs", func(w http.ResponseWriter, r *http.Request) { logs(d, w, r) })
	return &http.Server{
		Handler:           authorize(mux),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, allowed(c, socketGroup))
		},
	}
}

// authorize refuses peers that are neither root, nor the daemon's user, nor in
// the socket's group. The mode of the socket says the same; a mode can be
// changed by mistake.
func authorize(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ok, _ := r.Context().Value(peerKey{}).(bool); !ok {
			reply(w, http.StatusForbidden, Error{Error: "this user may not control the daemon",
				Hint: "run as root or as a member of the control socket's group"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func handle(mux *http.ServeMux, pattern string, d Daemon, f func(Daemon, *http.Request) (any, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if answer, err := f(d, r); err != nil {
			fail(w, err)
		} else {
			reply(w, http.StatusOK, answer)
		}
	})
}

func fail(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrNoAgent) {
		reply(w, http.StatusNotFound, Error{Error: err.Error(), Hint: "agent-launcher status lists the agents"})
		return
	}
	reply(w, http.StatusConflict, Error{Error: err.Error()})
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

// logs takes the connection over: the daemon hands the kernel the log file and
// the socket, and never holds a byte of an agent's output itself.
func logs(d Daemon, w http.ResponseWriter, r *http.Request) {
	send, err := d.Logs(r.PathValue("name"), r.URL.Query().Get("follow") == "true")
	if err != nil {
		fail(w, err)
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		fail(w, fmt.Errorf("cannot send logs: %w", err))
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // the peer sends nothing more: the first read returns when it hangs up
		_, _ = conn.Read(make([]byte, 1))
		cancel()
	}()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n")
	if err := send(ctx, conn.(*net.UnixConn)); err != nil && ctx.Err() == nil {
		_, _ = fmt.Fprintf(conn, "agent-launcher: %v\n", err)
	}
}
