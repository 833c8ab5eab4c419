package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// client sends one resolve request and verifies the reply.
type client struct {
	opts Options
	url  string
	http *http.Client
}

func newClient(opts Options) (*client, error) {
	u, err := url.Parse(opts.URL)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL", opts.URL)
	}
	loopback := u.Scheme == "http" && isLoopback(u.Hostname())
	if u.Scheme != "https" && !loopback {
		return nil, fmt.Errorf("%s is neither https nor plain http on loopback", u.Redacted())
	}
	roots, err := loadRoots(opts.CAFile)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                  nil, // an environment variable must not choose who sits in the middle
		DialContext:            dialer(loopback),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        90 * time.Second,
	}
	return &client{
		opts: opts,
		url:  strings.TrimSuffix(opts.URL, "/") + "/api/hosts/" + url.PathEscape(opts.HostID) + "/resolve",
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// dialer keeps plain http on loopback whatever a name resolves to.
func dialer(loopback bool) func(context.Context, string, string) (net.Conn, error) {
	d := &net.Dialer{Timeout: 10 * time.Second}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, addr)
		if err != nil || !loopback {
			return conn, err
		}
		if a, ok := conn.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
			return nil, errors.Join(errors.New("plain http left loopback"), conn.Close())
		}
		return conn, nil
	}
}

func loadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read caFile: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("caFile %s holds no certificate", path)
	}
	return pool, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

func (c *client) resolve(ctx context.Context, q *protocol.ResolveRequest) (*protocol.ResolveReply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	data, err := c.send(ctx, q)
	if err != nil {
		return nil, err
	}
	return sign.Verify(c.opts.SigningKey, data, q, c.opts.HostID)
}

func (c *client) send(ctx context.Context, q *protocol.ResolveRequest) ([]byte, error) {
	body, err := protocol.Marshal(q)
	if err != nil {
		return nil, err
	}
	token, err := os.ReadFile(c.opts.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read host token: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", protocol.ContentType)
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if err := checkHead(resp); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, protocol.MaxReplySize+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read reply: %w", err)
	}
	return data, nil
}

func checkHead(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		return fmt.Errorf("the control plane answered with a redirect (%d): redirects are refused, correct controlPlane.url", code)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("the control plane refuses this host (%d): is the token in tokenFile current, and the host not deleted?", code)
	case code == http.StatusNotFound:
		return fmt.Errorf("the control plane knows no such host (404): check controlPlane.hostId and url")
	case code != http.StatusOK:
		return fmt.Errorf("the control plane answered with status %d", code)
	}
	if t := resp.Header.Get("Content-Type"); t != protocol.ContentType {
		return fmt.Errorf("the control plane answered with content type %.40q, want %s: is a proxy in the way?", t, protocol.ContentType)
	}
	return nil
}
