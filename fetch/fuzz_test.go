package fetch

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// exchange is one request and the reply that a good control plane gives: the
// same in every process, as fuzzing needs it.
type exchange struct {
	key    ed25519.PrivateKey
	client *client
	batch  []*entry // a has nothing, b offers a bundle
	q      *protocol.ResolveRequest
	reply  []byte
}

func newExchange(t testing.TB) *exchange {
	t.Helper()
	x := &exchange{key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}
	x.client = &client{opts: Options{HostID: "h", SigningKey: x.key.Public().(ed25519.PublicKey), Timeout: time.Second}}
	x.q = &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: make([]byte, protocol.NonceSize)}
	r := &protocol.ResolveReply{Protocol: protocol.Version, Nonce: x.q.Nonce, HostID: "h", Time: 1}
	for _, id := range []string{"a", "b"} {
		bundle := &protocol.Bundle{Sealed: []byte("never looked into"), Meta: protocol.Meta{Protocol: protocol.Version,
			BundleID: "of-" + id, CompanyID: "c", AgentID: id, HostID: "h", KeyID: make([]byte, protocol.KeyIDSize), Nonce: x.q.Nonce,
			ExpiresAt: 1 << 40, Refs: []protocol.Ref{{Name: "TOKEN", SecretID: "s", Version: 1, Length: 5}}}}
		e := &entry{agent: Agent{ID: id, CompanyID: "c", Bindings: []protocol.Binding{{Name: "TOKEN", SecretID: "s"}}}}
		e.waiters = []*waiter{{agent: e.agent, ctx: t.Context()}}
		a := protocol.AgentReply{AgentID: id, Bundle: bundle}
		if id == "b" {
			e.have, a = bundle, protocol.AgentReply{AgentID: id, Unchanged: bundle.Meta.BundleID}
		}
		x.batch, x.q.Agents, r.Agents = append(x.batch, e), append(x.q.Agents, e.agent.request(e.have)), append(r.Agents, a)
	}
	var err error
	if x.reply, err = sign.Sign(x.key, r); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *exchange) receive(body []byte) (*protocol.ResolveReply, error) {
	return x.client.reply(&http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {protocol.ContentType}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: -1}, x.q)
}

// No bit of a reply is without effect, and no part of it enough.
func TestEveryBit(t *testing.T) {
	x := newExchange(t)
	if _, err := x.receive(x.reply); err != nil {
		t.Fatal(err)
	}
	for i := range x.reply {
		body := bytes.Clone(x.reply)
		body[i] ^= 1 << (i % 8)
		if _, err := x.receive(body); err == nil {
			t.Errorf("bit %d of byte %d may be flipped", i%8, i)
		}
		if _, err := x.receive(x.reply[:i]); err == nil {
			t.Errorf("%d of %d bytes are enough", i, len(x.reply))
		}
	}
}

// Every reply begins as readReply expects, whatever is in it.
func TestReplyPrefix(t *testing.T) {
	for _, r := range []*protocol.ResolveReply{{}, {HostID: strings.Repeat("h", 1<<17)}} {
		data, err := sign.Sign(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), r)
		if err != nil || !strings.HasPrefix(string(data), replyPrefix) {
			t.Errorf("%x: %v", data[:min(len(data), 16)], err)
		}
	}
}

// vectors returns the replies of the protocol's test vectors.
func vectors(t testing.TB) (replies [][]byte) {
	t.Helper()
	paths, err := filepath.Glob("../protocol/testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, "reply: "); ok {
				if data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(value)); err == nil {
					replies = append(replies, data)
				}
			}
		}
	}
	if len(replies) == 0 {
		t.Fatal("no vectors")
	}
	return replies
}

// FuzzReply feeds bytes as a body, or as a payload that the control plane
// signed. Whatever is accepted answers the request, and nobody gets more or
// other than his bundle.
func FuzzReply(f *testing.F) {
	x := newExchange(f)
	f.Add(false, x.reply)
	f.Add(true, must(unsigned(x.reply)))
	for _, reply := range vectors(f) {
		f.Add(false, reply)
		if p, err := unsigned(reply); err == nil {
			f.Add(true, p)
		}
	}
	f.Fuzz(func(t *testing.T, signed bool, body []byte) {
		if signed {
			body = signer{x.key}.sign(append([]byte{}, body...)) // never nil: that would be a detached payload
		}
		reply, err := x.receive(body)
		if err != nil {
			return
		}
		if !signed && !bytes.Equal(body, x.reply) {
			t.Fatal("a reply was accepted that nobody signed")
		}
		s := &Sealed{cache: map[string]Resolved{}}
		for i, e := range x.batch {
			o := s.accept(e, &reply.Agents[i])
			if (o.Bundle == nil) == (o.err == nil) {
				t.Fatalf("%v and %v", o.Bundle, o.err)
			}
			if o.Bundle != s.cache[e.agent.ID].Bundle {
				t.Error("another bundle is kept than was handed out")
			}
			if o.Bundle != nil && (o.Bundle.Meta.AgentID != e.agent.ID || recheck(o.Bundle, e.agent, time.Unix(0, 0)) != nil && o.Bundle.Meta.ExpiresAt > 0) {
				t.Errorf("%s got %+v", e.agent.ID, o.Bundle.Meta)
			}
		}
	})
}
