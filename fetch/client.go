package fetch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/agent-launcher/agent-launcher/internal/trust"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// maxHeader bounds the header of a reply, bytes.
const maxHeader = 64 << 10

// client sends one resolve request and verifies the reply.
type client struct {
	opts Options
	url  string
	// A transport, not an http.Client: it follows no redirect, keeps no cookie
	// and does not parse a Location that nobody will visit.
	transport *http.Transport
}

func newClient(opts Options) (*client, error) {
	base, err := parseURL(opts.URL)
	if err != nil {
		return nil, err
	}
	roots, err := loadRoots(opts.CAFile)
	if err != nil {
		return nil, err
	}
	return &client{
		opts: opts,
		url:  strings.TrimSuffix(base.String(), "/") + "/api/hosts/" + url.PathEscape(opts.HostID) + "/resolve",
		transport: &http.Transport{
			Proxy:                  nil, // a variable of the environment must not choose who sits in the middle
			DialContext:            dialer(base.Scheme == "http").DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			DisableCompression:     true, // a reply is ciphertext, and a few bytes must not become gigabytes
			MaxResponseHeaderBytes: maxHeader,
			// A connection per request costs a handshake. In return none is found
			// dead at the next heartbeat, and net/http has no idle connection
			// whose unasked-for bytes it would print on the daemon's stderr.
			DisableKeepAlives: true,
			// One request at a time gains nothing from HTTP/2, whose client is much
			// more code in front of hostile bytes: without ForceAttemptHTTP2 a
			// transport with its own dialer speaks HTTP/1.1.
			ForceAttemptHTTP2: false,
		},
	}, nil
}

// maxCA bounds a file of certificates, bytes.
const maxCA = 4 << 20

// CheckCA reports why a file cannot say who may vouch for the control plane:
// it holds no certificate, or somebody else could put theirs into it.
func CheckCA(path string) error {
	_, err := loadRoots(path)
	return err
}

func loadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	f, err := trust.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read CA file: %w", err)
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxCA))
	if err != nil {
		return nil, fmt.Errorf("cannot read CA file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s holds no certificate", path)
	}
	return pool, nil
}

// resolve sends q and returns the reply that answers it, signed by the pinned
// key. No error quotes what the peer sent, nor the token.
func (c *client) resolve(ctx context.Context, q *protocol.ResolveRequest) (*protocol.ResolveReply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	req, err := c.request(ctx, q)
	if err != nil {
		return nil, err
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, explain(err, c.opts.Timeout)
	}
	defer resp.Body.Close() // what was not read is not drained: the connection is dropped
	return c.reply(resp, q)
}

func (c *client) request(ctx context.Context, q *protocol.ResolveRequest) (*http.Request, error) {
	body, err := protocol.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("cannot encode request: %w", err)
	}
	token, err := readToken(c.opts.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read host token: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", protocol.ContentType)
	req.Header.Set("Accept", protocol.ContentType)
	req.Header.Set("User-Agent", "agent-launcher")
	req.Header.Set("Authorization", "Bearer "+token)
	return req, nil
}

// reply reads and verifies what came back.
func (c *client) reply(resp *http.Response, q *protocol.ResolveRequest) (*protocol.ResolveReply, error) {
	if err := checkHead(resp); err != nil {
		return nil, err
	}
	data, err := readReply(resp.Body)
	if err != nil {
		return nil, explain(err, c.opts.Timeout)
	}
	return sign.Verify(c.opts.SigningKey, data, q, c.opts.HostID)
}
