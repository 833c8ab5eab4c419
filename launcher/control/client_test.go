package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func listen(t *testing.T) *net.UnixListener {
	t.Helper()
	dir, err := os.MkdirTemp("", "al-control-") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func client(l net.Listener) *Client {
	c := NewClient(l.Addr().String())
	c.patience = 50 * time.Millisecond
	return c
}

// calls are all that the commands do.
func calls(ctx context.Context, c *Client) map[string]func() error {
	return map[string]func() error{
		"status":      func() error { _, err := c.Status(ctx); return err },
		"reload":      func() error { return c.Reload(ctx) },
		"wake":        func() error { _, err := c.Wake(ctx, "a", Wake{}, false); return err },
		"wake --wait": func() error { _, err := c.Wake(ctx, "a", Wake{}, true); return err },
		"stop":        func() error { return c.Stop(ctx, "a") },
		"logs":        func() error { return c.Logs(ctx, "a", false, io.Discard) },
		"logs -f":     func() error { return c.Logs(ctx, "a", true, io.Discard) },
	}
}

func says(t *testing.T, name string, err error, want string) {
	t.Helper()
	var h *HintError
	if !errors.As(err, &h) || !strings.Contains(err.Error(), want) || h.Hint() == "" {
		t.Errorf("%s: %v", name, err)
	}
}

// A daemon that hangs: the kernel still takes connections for it.
func TestSilentDaemon(t *testing.T) {
	l := listen(t) // nobody accepts
	for name, call := range calls(context.Background(), client(l)) {
		says(t, name, call(), "does not answer: waited")
	}
}

// A daemon that hangs, or ends, while it is waited for.
func TestDaemonLostMeanwhile(t *testing.T) {
	for _, how := range []string{"hangs", "ends"} {
		var mute atomic.Bool
		arrived := make(chan struct{}, 1)
		mux := http.NewServeMux()
		mux.HandleFunc("/v1/health", func(_ http.ResponseWriter, r *http.Request) {
			if mute.Load() {
				<-r.Context().Done()
			}
		})
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "logs") { // half of an answer
				_, _ = io.WriteString(w, "some output\n")
				_ = http.NewResponseController(w).Flush()
			}
			arrived <- struct{}{}
			<-r.Context().Done()
		})
		for name := range calls(context.Background(), nil) {
			if name == "status" || name == "reload" || name == "wake" {
				continue
			}
			l, server := listen(t), &http.Server{Handler: mux}
			go func() { _ = server.Serve(l) }()
			mute.Store(false)
			answer := make(chan error)
			go func() { answer <- calls(context.Background(), client(l))[name]() }()
			<-arrived
			want := "does not answer"
			if mute.Store(true); how == "ends" {
				want = "hung up"
				server.Close()
			}
			err := <-answer
			if how == "ends" && strings.Contains(err.Error(), "no daemon answers") { // the sign of life missed it first
				want = ""
			}
			says(t, how+" "+name, err, want)
			server.Close()
		}
	}
}

// A pager that takes nothing does not make us a reader that takes nothing.
func TestCopyAhead(t *testing.T) {
	r, w := io.Pipe()
	shown, pager := io.Pipe()
	copied := make(chan error)
	go func() {
		rerr, werr := copyAhead(pager, r)
		copied <- errors.Join(rerr, werr, pager.Close())
	}()
	var want bytes.Buffer
	for i := range 100 {
		piece := bytes.Repeat([]byte{byte(i)}, 40_000)
		want.Write(piece)
		_, _ = w.Write(piece) // would wait for ever
	}
	w.Close()
	got, err := io.ReadAll(shown)
	if err = errors.Join(err, <-copied); err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}
