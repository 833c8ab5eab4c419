package fetch

import (
	"crypto/ed25519"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func valid(t *testing.T) Options {
	t.Helper()
	return Options{URL: "https://cp.example", HostID: "h", TokenFile: filepath.Join(t.TempDir(), "token"),
		SigningKey: make(ed25519.PublicKey, ed25519.PublicKeySize)}
}

func TestURLs(t *testing.T) {
	for _, c := range []struct {
		url  string
		want string // the request's URL, empty if refused
	}{
		{"https://cp.example", "https://cp.example/api/hosts/h/resolve"},
		{"https://cp.example:3100/base/", "https://cp.example:3100/base/api/hosts/h/resolve"},
		{"HTTPS://10.0.0.1", "https://10.0.0.1/api/hosts/h/resolve"},
		{"http://127.0.0.1:1", "http://127.0.0.1:1/api/hosts/h/resolve"},
		{"http://127.9.9.9", "http://127.9.9.9/api/hosts/h/resolve"},
		{"http://[::1]:1", "http://[::1]:1/api/hosts/h/resolve"},
		{"http://[::ffff:127.0.0.1]", "http://[::ffff:127.0.0.1]/api/hosts/h/resolve"},
		{"http://localhost:1", "http://localhost:1/api/hosts/h/resolve"},
		{"http://cp.example", ""}, {"http://10.0.0.1", ""}, {"http://0.0.0.0:1", ""}, {"http://[::]:1", ""}, {"http://[::ffff:10.0.0.1]", ""},
		{"http://127.0.0.1.example", ""}, {"http://localhost.example", ""}, {"http://127.1", ""}, {"http://2130706433", ""},
		{"http://127.0.0.1:pw@cp.example", ""}, {"https://user:pw@cp.example", ""}, {"http://user:pw@127.0.0.1", ""},
		{"https://cp.example?x=pw", ""}, {"https://cp.example?", ""}, {"https://cp.example#pw", ""}, {"https://:443", ""}, {"https:cp.example", ""},
		{"ftp://127.0.0.1", ""}, {"unix:///pw", ""}, {"127.0.0.1:1", ""}, {"//127.0.0.1", ""}, {"https://pw pw", ""}, {"", ""},
	} {
		o := valid(t)
		o.URL = c.url
		s, err := NewSealed(o)
		if err != nil {
			if c.want != "" || strings.Contains(err.Error(), "pw") {
				t.Errorf("%q: %v", c.url, err)
			}
			continue
		}
		s.Close()
		if s.client.url != c.want {
			t.Errorf("%q: %q, want %q", c.url, s.client.url, c.want)
		}
	}
}

func TestOptions(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	write(t, empty, "no certificate")
	for says, change := range map[string]func(*Options){
		"host id":        func(o *Options) { o.HostID = "" },
		"129 bytes":      func(o *Options) { o.HostID = strings.Repeat("h", 129) },
		"token file":     func(o *Options) { o.TokenFile = "" },
		"signing key":    func(o *Options) { o.SigningKey = nil },
		"no such file":   func(o *Options) { o.CAFile = filepath.Join(t.TempDir(), "none") },
		"no certificate": func(o *Options) { o.CAFile = empty },
		"written by others": func(o *Options) {
			o.CAFile = pemFile(t, []byte("anything"))
			if err := os.Chmod(o.CAFile, 0o666); err != nil {
				t.Fatal(err)
			}
		},
	} {
		o := valid(t)
		change(&o)
		if _, err := NewSealed(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// net/http never uses a proxy for loopback, so that only the setting shows
// that the environment does not choose one for other hosts.
func TestNoProxyFromEnvironment(t *testing.T) {
	c, err := newClient(valid(t))
	if err != nil {
		t.Fatal(err)
	}
	if c.transport.Proxy != nil {
		t.Error("a proxy may be chosen")
	}
}

// A token file that cannot be used is an outage that says so and ends as soon
// as the file is right; nothing is sent meanwhile, and nothing quoted.
func TestTokenFile(t *testing.T) {
	for says, spoil := range map[string]func(path string) error{
		"no such file":                    func(path string) error { return nil },
		"is empty":                        func(path string) error { return os.WriteFile(path, []byte(" \n"), 0o600) },
		"more than one word":              func(path string) error { return os.WriteFile(path, []byte("alh_one\nalh_two\n"), 0o600) },
		"one word of ASCII":               func(path string) error { return os.WriteFile(path, []byte("alh_\xff"), 0o600) },
		"regular file of at most 4096":    func(path string) error { return os.WriteFile(path, make([]byte, 5000), 0o600) },
		"token is not a regular file":     func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"token is not a regular file of ": func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(says, func(t *testing.T) {
			s := newSite(t)
			a := s.agent("a", nil)
			if err := os.Remove(s.options.TokenFile); err != nil {
				t.Fatal(err)
			}
			if err := spoil(s.options.TokenFile); err != nil {
				t.Fatal(err)
			}
			c := s.begin(t.Context(), a)
			eventually(t, func() bool { return strings.Contains(s.source.Status().LastError, says) }, s.status)
			if e := s.source.Status().LastError; strings.Contains(e, "alh_") || s.requests() != 0 {
				t.Errorf("%d requests, %s", s.requests(), e)
			}
			_ = os.Remove(s.options.TokenFile)
			write(t, s.options.TokenFile, s.token)
			if got := <-c; got.err != nil {
				t.Error(got.err)
			}
		})
	}
}

// What is sent: the token, the type, and no connection that is kept.
func TestRequestHead(t *testing.T) {
	s := newSite(t)
	var head http.Header
	var closes bool
	s.turn(func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
		head, closes = r.Header.Clone(), r.Close
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		forward(w, honest(r, plane))
	})
	a := s.agent("a", nil)
	s.good(a)
	s.good(a)
	want := map[string]string{"Authorization": "Bearer " + s.token, "Content-Type": "application/cbor", "Accept": "application/cbor",
		"Accept-Encoding": "", "Cookie": "", "User-Agent": "agent-launcher"}
	for k, v := range want {
		if head.Get(k) != v {
			t.Errorf("%s: %q", k, head.Get(k))
		}
	}
	if !closes {
		t.Error("the connection is kept")
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\x1b[2Jb\nc\u202e\xff"); got != "a?[2Jb?c??" {
		t.Errorf("%q", got)
	}
	if got := printable(strings.Repeat("x", 1000)); len(got) > 310 {
		t.Errorf("%d bytes", len(got))
	}
}
