package fetch

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The server's certificate must be vouched for by caFile, or else by the
// system's roots, and be for the name in the URL.
func TestTLS(t *testing.T) {
	for _, c := range []struct {
		name   string
		server func(*tls.Config)
		source func(o *Options, ca, foreign string)
		says   string // empty: works
	}{
		{"our CA", nil, func(o *Options, ca, _ string) { o.CAFile = ca }, ""},
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(o *Options, ca, _ string) { o.CAFile = ca }, ""},
		{"TLS 1.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 },
			func(o *Options, ca, _ string) { o.CAFile = ca }, "protocol version"},
		{"system's roots", nil, func(*Options, string, string) {}, "unknown authority"},
		{"other CA", nil, func(o *Options, _, foreign string) { o.CAFile = foreign }, "certificate"},
		{"other name", nil, func(o *Options, ca, _ string) {
			o.CAFile, o.URL = ca, strings.Replace(o.URL, "127.0.0.1", "localhost", 1)
		}, "not localhost"},
		{"no TLS", nil, func(o *Options, _, _ string) {
			o.URL = strings.Replace(o.URL, "https", "http", 1)
		}, "status 400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t)
			server := httptest.NewUnstartedServer(s)
			server.TLS = &tls.Config{}
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			if c.server != nil {
				c.server(server.TLS)
			}
			server.StartTLS()
			t.Cleanup(server.Close)
			o := s.options
			o.URL = server.URL
			c.source(&o, pemFile(t, server.Certificate().Raw), pemFile(t, certify(t).Certificate[0]))
			s.source.Close()
			s.source = open(t, o)
			w := s.begin(t.Context(), s.agent("a", nil))
			if c.says == "" {
				if got := <-w; got.err != nil {
					t.Error(got.err)
				}
				return
			}
			eventually(t, func() bool { return strings.Contains(s.source.Status().LastError, c.says) }, s.status)
		})
	}
}

// https to a server that speaks no TLS.
func TestPlainServerBehindHTTPS(t *testing.T) {
	s := newSite(t, func(o *Options) { o.URL = strings.Replace(o.URL, "http:", "https:", 1) })
	s.begin(t.Context(), s.agent("a", nil))
	eventually(t, func() bool { return strings.Contains(s.source.Status().LastError, "TLS handshake") }, s.status)
}

func pemFile(t *testing.T, der []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	write(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return path
}

// A certificate may be for a name that clears a terminal.
func TestHostileCertificate(t *testing.T) {
	s := newSite(t)
	certificate := certify(t, "\x1b[2J<html>")
	server := httptest.NewUnstartedServer(s)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	o := s.options
	o.URL, o.CAFile = strings.Replace(server.URL, "127.0.0.1", "localhost", 1), pemFile(t, certificate.Certificate[0])
	s.source.Close()
	s.source = open(t, o)
	s.begin(t.Context(), s.agent("a", nil))
	eventually(t, func() bool {
		return strings.Contains(s.source.Status().LastError, "valid for ?[2J<html>, not localhost")
	}, s.status)
}

// certify makes a CA for names; it has vouched for nobody but itself.
func certify(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}
