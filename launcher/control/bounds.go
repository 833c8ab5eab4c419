package control

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// limits bound what clients can hold of the daemon: each connection is a
// descriptor, and those of the agents come out of the same number.
type limits struct {
	connections int           // in all, log readers aside
	readers     int           // of logs
	waiting     int           // for the ends of runs
	patience    time.Duration // with a client that does not take what it asked for
}

type bounds struct {
	limits
	open    atomic.Int64
	readers gate
	waiting gate
}

func newBounds(l limits) *bounds {
	return &bounds{limits: l, readers: make(gate, l.readers), waiting: make(gate, l.waiting)}
}

// gate lets as many in as it has capacity.
type gate chan struct{}

func (g gate) enter() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g gate) leave() { <-g }

type busyError struct{ message, hint string }

func (e *busyError) Error() string { return e.message }

func tooMany(who string, n int) error {
	return &busyError{fmt.Sprintf("the daemon is busy: %d %s already", n, who), "end some of them, then try again"}
}

// connState refuses connections beyond the limit. A log reader's is counted by
// its gate instead.
func (b *bounds) connState(c net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		if b.open.Add(1) > int64(b.connections) {
			const body = `{"error":"the daemon is busy: too many connections","hint":"end some of them, then try again"}`
			// It fits into the empty buffer of a new socket.
			_, _ = fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
			_ = c.Close()
		}
	case http.StateClosed, http.StateHijacked:
		b.open.Add(-1)
	}
}

// answer gives the client a while to take the answer.
func (b *bounds) answer(w http.ResponseWriter, r *http.Request, f func(*http.Request) (any, error)) {
	v, err := f(r)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(b.patience)) // a unix socket has deadlines
	if err != nil {
		fail(w, err)
	} else {
		reply(w, http.StatusOK, v)
	}
}

// logs takes the connection over, see Stream.
func (b *bounds) logs(d Daemon, w http.ResponseWriter, r *http.Request) {
	if !b.readers.enter() {
		fail(w, tooMany("log readers", cap(b.readers)))
		return
	}
	defer b.readers.leave()
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
	go func() { // a read returns when the peer hangs up; what it sends means nothing
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	s := &Stream{conn: conn.(*net.UnixConn), patience: b.patience}
	err = s.begin()
	if err == nil {
		err = send(ctx, s)
	}
	s.end(err)
}
