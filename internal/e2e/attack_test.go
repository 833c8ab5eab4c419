package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A proxy in the middle does its worst to the daemon: nothing starts, the
// proxy is not hammered, status says what is wrong, and the first honest reply
// brings exactly one heartbeat per agent.
func TestHostileProxy(t *testing.T) {
	for _, c := range []struct {
		name   string
		attack func(t *testing.T) attack
		says   string // in status
	}{
		{"drops the connection", plain(func(http.ResponseWriter) { panic(http.ErrAbortHandler) }), "EOF"},
		{"truncates", rewrite(func(b []byte) []byte { return b[:len(b)/2] }), "malformed"},
		{"flips a bit in the signature", rewrite(flip(-1)), "signature"},
		{"flips a bit in the payload", rewrite(flip(100)), "signature"},
		{"answers {}", plain(body("application/json", "{}")), "content type"},
		{"answers {} as CBOR", plain(body("application/cbor", "{}")), "malformed"},
		{"answers HTML", plain(body("text/html", "<html>sign in</html>")), "content type"},
		{"answers nothing", plain(body("application/cbor", "")), "malformed"},
		{"answers 500", plain(func(w http.ResponseWriter) { http.Error(w, "oops", http.StatusInternalServerError) }), "500"},
		{"answers 401", plain(func(w http.ResponseWriter) { http.Error(w, "no", http.StatusUnauthorized) }), "401"},
		{"redirects", plain(func(w http.ResponseWriter) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(http.StatusFound)
		}), "redirect"},
		{"answers 1 GB", plain(flood), "limit"},
		{"replays an old reply", replay, "nonce"},
		{"signs with its own key", forge, "signature"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			secret := h.plane.CreateSecret(h.company, "TOKEN", secretValue(1, 1))
			for i := range 3 {
				h.addAgent(fmt.Sprintf("agent%d", i), agent{env: map[string]any{"TOKEN": ref(secret, "latest")}, command: h.bin.DemoAgent, args: []string{"TOKEN"}})
			}
			h.proxy.turn(c.attack(t))
			h.start()
			h.eventually("status says "+c.says, func() bool {
				cp := h.status().ControlPlane
				return !cp.Reachable && cp.Attempts >= 2 && strings.Contains(strings.ToLower(cp.LastError), strings.ToLower(c.says))
			})
			// Waits are at least 0.25 s, then 0.5 s: a hot loop would be far above.
			since := h.status().ControlPlane.Since
			if n, limit := h.proxy.count(), 3+int(time.Since(since)/(250*time.Millisecond)); n > limit {
				t.Errorf("%d requests in %s", n, time.Since(since))
			}
			if n := len(h.records()); n != 0 {
				t.Fatalf("%d runs started", n)
			}
			h.proxy.turn(nil)
			h.eventually("recovery", func() bool { return h.status().ControlPlane.Reachable })
			h.eventually("one run per agent", func() bool { return len(h.records()) >= 3 })
			h.stop()
		})
	}
}

func plain(answer func(http.ResponseWriter)) func(*testing.T) attack {
	return func(*testing.T) attack {
		return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			_, _ = io.Copy(io.Discard, r.Body)
			answer(w)
		}
	}
}

func body(contentType, text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, text)
	}
}

func flood(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("Content-Length", "1073741824")
	chunk := make([]byte, 1<<20)
	for range 1024 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// rewrite passes the request on and changes the honest answer.
func rewrite(change func([]byte) []byte) func(*testing.T) attack {
	return func(*testing.T) attack {
		return func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
			send(w, change(honest(r, plane)))
		}
	}
}

func honest(r *http.Request, plane http.Handler) []byte {
	rec := httptest.NewRecorder()
	plane.ServeHTTP(rec, r)
	return rec.Body.Bytes()
}

func send(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", "application/cbor")
	_, _ = w.Write(data)
}

// flip flips one bit at offset, from the end if it is negative.
func flip(offset int) func([]byte) []byte {
	return func(b []byte) []byte {
		out := bytes.Clone(b)
		out[(offset+len(out))%len(out)] ^= 1
		return out
	}
}

// replay answers every request with the first honest reply.
func replay(*testing.T) attack {
	var first []byte
	lock := make(chan struct{}, 1)
	return func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
		lock <- struct{}{}
		defer func() { <-lock }()
		if first == nil {
			// Ask in the host's name first, so that even the first reply is old.
			first = honest(r.Clone(r.Context()), plane)
			panic(http.ErrAbortHandler)
		}
		send(w, first)
	}
}

// forge lets another control plane, with another signing key but otherwise
// genuine, sign the same payload.
func forge(t *testing.T) attack {
	return func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
		send(w, resign(t, honest(r, plane)))
	}
}
