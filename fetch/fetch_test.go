package fetch

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// site is a real control plane with one host, a counting proxy before it and a
// source that asks through the proxy.
type site struct {
	*controlplanetest.Server
	t       *testing.T
	company string
	host    string
	token   string // file
	options Options
	source  *Sealed

	mu     sync.Mutex
	bodies [][]byte // of the requests
	sizes  []int    // of the replies
	hook   http.HandlerFunc
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Server: controlplanetest.New(t), t: t}
	s.company = s.CreateCompany("Acme")
	public, _ := controlplanetest.HostKey(t)
	host, token := s.CreateHost(s.company, "host", public)
	s.host, s.token = host, filepath.Join(t.TempDir(), "token")
	write(t, s.token, token+"\n")
	proxy := httptest.NewServer(http.HandlerFunc(s.pass))
	t.Cleanup(proxy.Close)
	s.options = Options{URL: proxy.URL, HostID: host, TokenFile: s.token, SigningKey: s.SigningKey,
		MinWait: 20 * time.Millisecond, MaxWait: 50 * time.Millisecond, Timeout: 5 * time.Second}
	s.source = s.open(s.options)
	return s
}

func (s *site) open(o Options) *Sealed {
	s.t.Helper()
	source, err := NewSealed(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(source.Close)
	return source
}

func (s *site) pass(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		hook(w, r)
		s.count(r, 0)
		return
	}
	s.Handler().ServeHTTP(rec, r)
	s.count(r, rec.Body.Len())
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (s *site) count(r *http.Request, size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies, s.sizes = append(s.bodies, []byte(r.Header.Get("Authorization"))), append(s.sizes, size)
}

func (s *site) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sizes)
}

func (s *site) set(hook http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

func (s *site) agent(name string, secrets map[string]string) Agent {
	s.t.Helper()
	env := map[string]any{}
	a := Agent{CompanyID: s.company}
	for n, id := range secrets {
		env[n] = map[string]any{"type": "secret_ref", "secretId": id}
		a.Bindings = append(a.Bindings, protocol.Binding{Name: n, SecretID: id})
	}
	a.ID = s.CreateAgent(s.company, map[string]any{"name": name, "adapterType": "process", "adapterConfig": map[string]any{"env": env}, "hostId": s.host})
	return a
}

func (s *site) resolve(a Agent) (*protocol.Bundle, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.source.Resolve(ctx, a)
}

func (s *site) good(a Agent) *protocol.Bundle {
	s.t.Helper()
	b, err := s.resolve(a)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("in vain")
		}
	}
}

// All agents that are due share one request, and one bad one fails alone.
func TestOneRequestForAll(t *testing.T) {
	s := newSite(t)
	secret := s.CreateSecret(s.company, "TOKEN", "value-of-a-secret")
	agents := []Agent{{ID: "nobody", CompanyID: s.company}}
	for i := range 20 {
		agents = append(agents, s.agent(fmt.Sprint("a", i), map[string]string{"TOKEN": secret}))
	}
	var wg sync.WaitGroup
	for _, a := range append(agents, agents...) { // each asked for twice
		wg.Go(func() {
			b, err := s.resolve(a)
			var refused *protocol.AgentError
			if a.ID == "nobody" {
				if !errors.As(err, &refused) || refused.Refs[0].Code != protocol.CodeAgentNotFound {
					t.Errorf("nobody: %v", err)
				}
			} else if err != nil || b.Meta.AgentID != a.ID {
				t.Errorf("%s: %v", a.ID, err)
			}
		})
	}
	wg.Wait()
	if n := s.requests(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Rotation, unchanged and revocation over one source.
func TestVersionsAndCache(t *testing.T) {
	s := newSite(t)
	secret := s.CreateSecret(s.company, "TOKEN", strings.Repeat("x", 5000))
	a := s.agent("a", map[string]string{"TOKEN": secret})
	first := s.good(a)
	if again := s.good(a); again.Meta.BundleID != first.Meta.BundleID {
		t.Error("the unchanged bundle is another one")
	}
	if s.sizes[1] > 1000 {
		t.Errorf("an unchanged reply of %d bytes", s.sizes[1])
	}
	s.Rotate(secret, "next")
	if b := s.good(a); b.Meta.Refs[0].Version != 2 {
		t.Errorf("version %d after a rotation", b.Meta.Refs[0].Version)
	}
	s.PatchSecret(secret, map[string]any{"status": "disabled"})
	var refused *protocol.AgentError
	if _, err := s.resolve(a); !errors.As(err, &refused) || refused.Refs[0].Code != protocol.CodeDisabled || refused.Refs[0].Name != "TOKEN" {
		t.Errorf("disabled: %v", err)
	}
	if len(s.source.cache) != 0 {
		t.Error("the bundle of a revoked secret is kept")
	}
	if st := s.source.Status(); !st.Reachable {
		t.Errorf("a refusal is no outage: %+v", st)
	}
}

// While the control plane fails, waiters wait, one probe at a time goes out,
// and the first good reply answers all of them.
func TestOutage(t *testing.T) {
	s := newSite(t)
	agents := []Agent{s.agent("a", nil), s.agent("b", nil)}
	s.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) })
	start := time.Now()
	var wg sync.WaitGroup
	for _, a := range agents {
		wg.Go(func() { s.good(a) })
	}
	eventually(t, func() bool { return s.source.Status().Attempts >= 5 })
	st := s.source.Status()
	if st.Reachable || !strings.Contains(st.LastError, "503") {
		t.Errorf("%+v", st)
	}
	if limit := 2 + int(time.Since(start)/(10*time.Millisecond)); s.requests() > limit {
		t.Errorf("%d requests in %s", s.requests(), time.Since(start))
	}
	before := s.requests()
	s.set(nil)
	wg.Wait()
	if n := s.requests() - before; n > 2 {
		t.Errorf("%d requests after the recovery", n)
	}
	if st := s.source.Status(); !st.Reachable || st.LastError != "" || st.Attempts != 0 {
		t.Errorf("%+v", st)
	}
}

// Who gives up hears why; nobody asks for him any more.
func TestGivingUp(t *testing.T) {
	s := newSite(t)
	a := s.agent("a", nil)
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>secret", http.StatusInternalServerError)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { _, err := s.source.Resolve(ctx, a); done <- err }()
	eventually(t, func() bool { return s.source.Status().Attempts > 0 })
	cancel()
	if err := <-done; !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "500") || strings.Contains(err.Error(), "html") {
		t.Errorf("%v", err)
	}
	s.set(nil)
	if s.good(s.agent("b", nil)) == nil {
		t.Error("no bundle")
	}
}

// The token is read for each request, and is in no error.
func TestTokenRotation(t *testing.T) {
	s := newSite(t)
	a := s.agent("a", nil)
	good, err := os.ReadFile(s.token)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.token, "alh_wrong_token")
	done := make(chan *protocol.Bundle)
	go func() { b, _ := s.resolve(a); done <- b }()
	eventually(t, func() bool { return strings.Contains(s.source.Status().LastError, "401") })
	if e := s.source.Status().LastError; strings.Contains(e, "wrong_token") {
		t.Errorf("%s", e)
	}
	write(t, s.token, string(good))
	if <-done == nil {
		t.Error("no bundle with the new token")
	}
}

func TestForeignSigner(t *testing.T) {
	s := newSite(t)
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	o.SigningKey = other
	source := s.open(o)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if b, err := source.Resolve(ctx, s.agent("a", nil)); b != nil || !strings.Contains(fmt.Sprint(err), protocol.ErrSignature.Error()) {
		t.Errorf("%v, %v", b, err)
	}
}

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		url string
		ok  bool
	}{
		{"https://cp.example", true}, {"http://127.0.0.1:1", true}, {"http://[::1]:1", true}, {"http://localhost:1", true},
		{"http://cp.example", false}, {"http://127.0.0.1.example", false}, {"ftp://127.0.0.1", false}, {"127.0.0.1:1", false}, {"", false},
	} {
		s, err := NewSealed(Options{URL: c.url})
		if (err == nil) != c.ok {
			t.Errorf("%q: %v", c.url, err)
		}
		if s != nil {
			s.Close()
		}
	}
}

// Environment proxies would let a variable choose who sits in the middle.
func TestNoProxyFromEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	s := newSite(t)
	s.good(s.agent("a", nil))
}

func TestDraw(t *testing.T) {
	const low, high = 500 * time.Millisecond, 30 * time.Second
	for failures, d := range map[int]time.Duration{1: low, 2: 2 * low, 3: 4 * low, 6: 32 * low, 7: high, 100: high} {
		for _, r := range []float64{0, 0.5, 0.999999} {
			if w := draw(low, high, failures, r); w < d/2 || w > d {
				t.Errorf("after %d failures: %s, want within [%s, %s]", failures, w, d/2, d)
			}
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	source, err := NewSealed(Options{URL: "http://127.0.0.1:9", TokenFile: "/dev/null", MinWait: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { _, err := source.Resolve(context.Background(), Agent{ID: "a", CompanyID: "c"}); done <- err }()
	eventually(t, func() bool { return source.Status().Attempts > 0 })
	source.Close()
	if err := <-done; err == nil {
		t.Error("a waiter was not told")
	}
}
