package fetch

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Whatever comes back, nobody gets a bundle, the control plane is not
// hammered, status says what is wrong in words of ours, and the first honest
// reply brings everybody his own bundle.
func TestAttacks(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(func() {
		other.Close()
		if n := elsewhere.Load(); n != 0 {
			t.Errorf("%d redirects were followed", n)
		}
	})
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct {
		name   string
		says   string // in status
		attack func(s *site) attack
	}{
		// The connection.
		{"drops", "EOF", is(func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })},
		{"drops half way", "EOF", is(cut)},
		{"hangs", "no complete reply within 150ms", is(hang(false))},
		{"drips", "no complete reply within 150ms", is(hang(true))},
		{"is not HTTP", "not HTTP", is(wire(fixed("\x1b[2J220 smtp ready\r\n\r\n"), ""))},
		{"echoes the request", "not HTTP", is(wire(func(r *http.Request) string { return r.Header.Get("Authorization") + "\r\n\r\n" }, ""))},
		{"echoes the token in a header", "not HTTP", is(wire(func(r *http.Request) string { return ok + r.Header.Get("Authorization") + "\r\n\r\n" }, ""))},
		{"endless header", "header exceeds", is(wire(fixed(ok), "X: "+strings.Repeat("x", 1000)+"\r\n"))},
		{"endless interim replies", "header exceeds", is(wire(fixed(""), "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"))},
		{"bad chunk", "not HTTP", is(wire(fixed(ok+"Content-Type: application/cbor\r\nTransfer-Encoding: chunked\r\n\r\n<html>\r\n"), ""))},
		{"upgrades", "status 101", is(wire(fixed("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), ""))},
		// The head.
		{"204", "204", is(respond(http.StatusNoContent, ""))},
		{"206", "206", is(respond(http.StatusPartialContent, "<html>", "Content-Type", protocol.ContentType))},
		{"401", "401", is(respond(http.StatusUnauthorized, "<html>"))},
		{"403", "token", is(respond(http.StatusForbidden, "<html>"))},
		{"404", "hostId", is(respond(http.StatusNotFound, "<html>"))},
		{"413", "413", is(respond(http.StatusRequestEntityTooLarge, "<html>"))},
		{"500", "500", is(respond(http.StatusInternalServerError, "<html>"))},
		{"redirects to itself", "redirect", func(s *site) attack { return respond(http.StatusTemporaryRedirect, "", "Location", s.proxy.URL) }},
		{"redirects elsewhere", "redirect", is(respond(http.StatusFound, "", "Location", other.URL))},
		{"redirects to nonsense", "redirect", is(respond(http.StatusPermanentRedirect, "", "Location", "%zz<html>"))},
		{"HTML", "content type text/html", is(respond(http.StatusOK, "<html>sign in", "Content-Type", "text/html; charset=utf-8"))},
		{"JSON", "content type application/json", is(respond(http.StatusOK, "{}", "Content-Type", "application/json"))},
		{"token as content type", "another content type", func(s *site) attack { return respond(http.StatusOK, "", "Content-Type", s.token) }},
		{"gzip bomb", "encoded", is(respond(http.StatusOK, gzipBomb(), "Content-Type", protocol.ContentType, "Content-Encoding", "gzip"))},
		{"claims 1 GB", "limit", is(respond(http.StatusOK, "", "Content-Type", protocol.ContentType, "Content-Length", "1073741824"))},
		// The body.
		{"empty", "malformed", is(page(""))},
		{"{}", "malformed", is(page("{}"))},
		{"garbage", "malformed", is(page(strings.Repeat("\xff\x00\x9f", 999)))},
		{"the beginning alone", "malformed", is(page(replyPrefix))},
		{"truncates", "malformed", is(rewrite(func(b []byte) []byte { return b[:len(b)/2] }))},
		{"appends", "malformed", is(rewrite(func(b []byte) []byte { return append(b, 0) }))},
		{"adds a header", "malformed", is(rewrite(func(b []byte) []byte { // {} becomes {99: 1}
			return append([]byte("\xd2\x84\x43\xa1\x01\x27\xa1\x18\x63\x01"), b[len(replyPrefix):]...)
		}))},
		{"flips a bit of the signature", "signature", is(flip(-1))},
		{"flips a bit of a bundle", "signature", is(flip(-200))},
		{"signs with another key", "signature", is(stranger)},
		{"replays", "nonce", is(replay())},
		// The payload, signed by the control plane's own key.
		{"other host", "host", forged(func(r *protocol.ResolveReply) { r.HostID = "other" })},
		{"swaps two agents", "names agent", forged(func(r *protocol.ResolveReply) { r.Agents[0], r.Agents[1] = r.Agents[1], r.Agents[0] })},
		{"swaps two bundles", "bundle is for agent", forged(func(r *protocol.ResolveReply) {
			r.Agents[0].Bundle, r.Agents[1].Bundle = r.Agents[1].Bundle, r.Agents[0].Bundle
		})},
		{"older bundle", "nonce", forged(func(r *protocol.ResolveReply) { r.Agents[0].Bundle.Meta.Nonce[0] ^= 1 })},
		{"bundle of another company", "of company", forged(func(r *protocol.ResolveReply) { r.Agents[0].Bundle.Meta.CompanyID = "other" })},
		{"other secret", "asked for TOKEN", forged(func(r *protocol.ResolveReply) { r.Agents[0].Bundle.Meta.Refs[0].SecretID = "other" })},
		{"ref missing", "0 refs delivered", forged(func(r *protocol.ResolveReply) { r.Agents[0].Bundle.Meta.Refs = []protocol.Ref{} })},
		{"agent missing", "1 agents answered", forged(func(r *protocol.ResolveReply) { r.Agents = r.Agents[:1] })},
		{"no answer", "exactly one", forged(func(r *protocol.ResolveReply) { r.Agents[0].Bundle = nil })},
		{"two answers", "exactly one", forged(func(r *protocol.ResolveReply) { r.Agents[0].Unchanged = "x" })},
		{"unchanged, never offered", "unchanged names", forged(func(r *protocol.ResolveReply) {
			r.Agents[0].Unchanged, r.Agents[0].Bundle = r.Agents[0].Bundle.Meta.BundleID, nil
		})},
		{"duplicate key", "malformed", func(s *site) attack { return s.signer().bend(secondKeyTwice) }},
		{"unsorted keys", "malformed", func(s *site) attack { return s.signer().bend(unsorted) }},
		{"trailing byte in the payload", "malformed", func(s *site) attack { return s.signer().bend(func(b []byte) []byte { return append(b, 0) }) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(o *Options) {
				if strings.Contains(c.says, "within") {
					o.Timeout = 150 * time.Millisecond
				}
			})
			s.survive(c.attack(s), c.says)
		})
	}
}

func (s *site) survive(a attack, says string) {
	t := s.t
	t.Helper()
	secret := s.CreateSecret(s.company, "TOKEN", "value-of-a-secret")
	agents := []Agent{s.agent("a", map[string]string{"TOKEN": secret}), s.agent("b", map[string]string{"TOKEN": secret})}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s.turn(a)
	start := time.Now()
	answers := []<-chan answer{s.begin(ctx, agents[0]), s.begin(ctx, agents[1])}
	eventually(t, func() bool {
		st := s.source.Status()
		return st.Attempts >= 3 && !st.Reachable && !st.NextAttempt.IsZero() && strings.Contains(st.LastError, says)
	}, s.status)
	// The first waits are at least 10, 20 and 25 ms: a hot loop would be far above.
	if n, most := s.requests(), 2+int(time.Since(start)/(10*time.Millisecond)); n > most {
		t.Errorf("%d requests in %s", n, time.Since(start))
	}
	if len(answers[0])+len(answers[1])+s.kept() != 0 {
		t.Fatal("somebody was answered, or something kept")
	}
	if e := s.source.Status().LastError; strings.Contains(e, s.token) || strings.Contains(e, "<") || strings.Contains(e, "\x1b") {
		t.Errorf("the error repeats what the peer sent: %q", e)
	}
	s.turn(nil)
	for i, c := range answers {
		if got := <-c; got.err != nil || got.bundle.Meta.AgentID != agents[i].ID {
			t.Errorf("after the attack: %v", got.err)
		}
	}
	if st := s.source.Status(); !st.Reachable || st.LastError != "" || st.Attempts != 0 || !st.NextAttempt.IsZero() {
		t.Errorf("after the attack: %+v", st)
	}
}

func is(a attack) func(*site) attack { return func(*site) attack { return a } }

func forged(change func(*protocol.ResolveReply)) func(*site) attack {
	return func(s *site) attack { return s.signer().forge(change) }
}

// stranger signs the honest payload with a key of his own.
func stranger(w http.ResponseWriter, r *http.Request, plane http.Handler) {
	key := ed25519.NewKeyFromSeed([]byte("another key for signing replies."))
	send(w, signer{key}.sign(must(unsigned(honest(r, plane).Body.Bytes()))))
}
