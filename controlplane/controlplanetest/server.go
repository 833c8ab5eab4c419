// Package controlplanetest runs a real control plane inside a test: one call,
// a loopback listener, a database in a temporary directory, nothing faked. Its
// helpers go through the REST API and fail the test on any answer but success.
// It is for tests alone.
package controlplanetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/agent-launcher/agent-launcher/controlplane"
)

// Server is a running control plane.
type Server struct {
	// URL is http://127.0.0.1:PORT. Stop and Start keep it.
	URL string
	// OperatorToken may do everything.
	OperatorToken string
	// SigningKey is what hosts pin.
	SigningKey ed25519.PublicKey
	// Dir is the data directory.
	Dir string

	t       testing.TB
	options controlplane.Options
	client  *http.Client
	log     *lockedBuffer

	mu      sync.Mutex
	handler http.Handler // nil while stopped
	stop    func()
}

// New starts a control plane that ends with the test. Each of change may alter
// the options, for instance the bundle's lifetime or the clock.
func New(t testing.TB, change ...func(*controlplane.Options)) *Server {
	t.Helper()
	s := &Server{t: t, Dir: filepath.Join(t.TempDir(), "control-plane"), log: &lockedBuffer{}}
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	s.options = controlplane.Options{Data: s.Dir, Log: zap.New(zapcore.NewCore(encoder, s.log, zapcore.DebugLevel))}
	for _, f := range change {
		f(&s.options)
	}
	transport := &http.Transport{}
	s.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.Stop()
	})
	s.Start()
	token, err := os.ReadFile(filepath.Join(s.Dir, "operator.token"))
	if err != nil {
		t.Fatal(err)
	}
	s.OperatorToken = strings.TrimSpace(string(token))
	return s
}

// Start starts the server again after Stop, on the same address with the same
// data.
func (s *Server) Start() {
	s.t.Helper()
	addr := strings.TrimPrefix(s.URL, "http://")
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	server, err := controlplane.Open(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	l, err := controlplane.Listen(addr, false)
	if err != nil {
		_ = server.Close()
		s.t.Fatal(err)
	}
	s.URL, s.SigningKey = "http://"+l.Addr().String(), server.SigningKey()
	s.serve(server, l)
}

func (s *Server) serve(server *controlplane.Server, l net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l, nil) }()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = server.Handler()
	s.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("control plane: %v", err)
		}
		if err := server.Close(); err != nil {
			s.t.Errorf("control plane: %v", err)
		}
	}
}

// Stop ends the server, as an outage does: connections are refused. It may be
// called twice.
func (s *Server) Stop() {
	s.mu.Lock()
	stop := s.stop
	s.handler, s.stop = nil, nil
	s.mu.Unlock()
	if stop != nil {
		s.client.CloseIdleConnections() // the server waits 5 s for one that was never used
		stop()
		s.client.CloseIdleConnections() // a POST over a dead one would not be sent again
	}
}

// Handler is the API without its listener, to put something hostile in front
// of. It follows Stop and Start: while stopped it drops the connection.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		h := s.handler
		s.mu.Unlock()
		if h == nil {
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	})
}

// Log is everything that the server has logged, at debug level.
func (s *Server) Log() string { return s.log.String() }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Sync() error { return nil }

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
