package fetch

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
	"github.com/agent-launcher/agent-launcher/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// attack answers a request in the place of the control plane, which it may ask.
type attack func(w http.ResponseWriter, r *http.Request, plane http.Handler)

// site is a real control plane with one host, a proxy in front of it that
// turns hostile on demand, and a source that asks through the proxy.
type site struct {
	*controlplanetest.Server
	t       *testing.T
	company string
	host    string
	token   string
	proxy   *httptest.Server
	options Options
	source  *Sealed

	mu     sync.Mutex
	attack attack // nil: honest
	asked  []*protocol.ResolveRequest
	sizes  []int // of the honest replies
}

func newSite(t *testing.T, change ...func(*Options)) *site {
	t.Helper()
	s := &site{Server: controlplanetest.New(t), t: t}
	s.company = s.CreateCompany("Acme")
	public, _ := controlplanetest.HostKey(t)
	s.host, s.token = s.CreateHost(s.company, "host", public)
	s.proxy = httptest.NewServer(s)
	t.Cleanup(s.proxy.Close)
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, " "+s.token+"\n")
	s.options = Options{URL: s.proxy.URL, HostID: s.host, TokenFile: file, SigningKey: s.SigningKey,
		MinWait: 20 * time.Millisecond, MaxWait: 50 * time.Millisecond}
	for _, f := range change {
		f(&s.options)
	}
	s.source = open(t, s.options)
	return s
}

func open(t *testing.T, o Options) *Sealed {
	t.Helper()
	source, err := NewSealed(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	return source
}

// ServeHTTP is the proxy.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := slurp(r)
	s.mu.Lock()
	if r.Method == http.MethodPost {
		q, err := protocol.DecodeRequest(body)
		if err != nil {
			s.t.Errorf("the control plane would refuse the request: %v", err)
		}
		s.asked = append(s.asked, q)
	}
	attack := s.attack
	s.mu.Unlock()
	if attack != nil {
		attack(w, r, s.Handler())
		return
	}
	rec := honest(r, s.Handler())
	s.mu.Lock()
	s.sizes = append(s.sizes, rec.Body.Len())
	s.mu.Unlock()
	forward(w, rec)
}

func (s *site) turn(a attack) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attack = a
}

func (s *site) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// agent makes an agent that binds these secrets (name to id) to the latest version.
func (s *site) agent(name string, secrets map[string]string) Agent {
	s.t.Helper()
	env := map[string]any{}
	a := Agent{CompanyID: s.company}
	for n, id := range secrets {
		env[n] = map[string]any{"type": "secret_ref", "secretId": id}
		a.Bindings = append(a.Bindings, protocol.Binding{Name: n, SecretID: id})
	}
	a.ID = s.CreateAgent(s.company, map[string]any{"name": name, "adapterType": "process",
		"adapterConfig": map[string]any{"env": env}, "hostId": s.host})
	return a
}

func (s *site) resolve(a Agent) (*protocol.Bundle, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := s.source.Resolve(ctx, a)
	return r.Bundle, err
}

func (s *site) good(a Agent) *protocol.Bundle {
	s.t.Helper()
	b, err := s.resolve(a)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// answer is what a Resolve in the background came to.
type answer struct {
	bundle *protocol.Bundle
	err    error
}

func (s *site) begin(ctx context.Context, a Agent) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // a test that waits in vain fails, and does not hang
		defer cancel()
		b, err := s.source.Resolve(ctx, a)
		c <- answer{b.Bundle, err}
	}()
	return c
}

func (s *site) kept() int {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	return len(s.source.cache)
}

func (s *site) waiting() int {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	return len(s.source.waiting)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition; what is called if it does not come.
func eventually(t *testing.T, ok func() bool, what func() string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(15 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("in vain: " + what())
		}
	}
}

func (s *site) status() string { return fmt.Sprintf("%+v", s.source.Status()) }
