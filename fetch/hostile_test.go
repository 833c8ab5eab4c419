package fetch

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"

	"github.com/veraison/go-cose"

	"github.com/agent-launcher/agent-launcher/controlplane/keys"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// slurp reads a request's body and leaves it to be read again.
func slurp(r *http.Request) []byte {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body
}

func honest(r *http.Request, plane http.Handler) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	plane.ServeHTTP(rec, r)
	return rec
}

func forward(w http.ResponseWriter, rec *httptest.ResponseRecorder) {
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func send(w http.ResponseWriter, data []byte) {
	w.Header().Set("Content-Type", protocol.ContentType)
	_, _ = w.Write(data)
}

// respond answers with a status, a header of pairs and a body.
func respond(status int, body string, header ...string) attack {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// page is a 200 of the right type.
func page(body string) attack {
	return respond(http.StatusOK, body, "Content-Type", protocol.ContentType)
}

// wire takes the connection and writes text until it has written all of it,
// then tail again and again until the peer has had enough.
func wire(text func(r *http.Request) string, tail string) attack {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, err = io.WriteString(conn, text(r))
		for err == nil && tail != "" {
			_, err = io.WriteString(conn, tail)
		}
	}
}

func fixed(s string) func(*http.Request) string { return func(*http.Request) string { return s } }

// hang keeps a client waiting until it goes, with a drop of body every now and
// then if drip is set.
func hang(drip bool) attack {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		if drip {
			send(w, []byte(replyPrefix))
		}
		for r.Context().Err() == nil && drip {
			if _, err := w.Write([]byte{0}); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
		}
		<-r.Context().Done()
	}
}

// cut announces the whole honest reply and breaks off half way.
func cut(w http.ResponseWriter, r *http.Request, plane http.Handler) {
	data := honest(r, plane).Body.Bytes()
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	send(w, data[:len(data)/2])
	panic(http.ErrAbortHandler)
}

// rewrite changes the bytes of the honest reply.
func rewrite(change func([]byte) []byte) attack {
	return func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
		send(w, change(bytes.Clone(honest(r, plane).Body.Bytes())))
	}
}

func flip(offset int) attack { // from the end if negative
	return rewrite(func(b []byte) []byte { b[(offset+len(b))%len(b)] ^= 1; return b })
}

// replay answers each request with the reply to the one before.
func replay() attack {
	last := make(chan []byte, 1)
	last <- nil
	return func(w http.ResponseWriter, r *http.Request, plane http.Handler) {
		old := <-last
		last <- honest(r, plane).Body.Bytes()
		if old == nil {
			panic(http.ErrAbortHandler)
		}
		send(w, old)
	}
}

func gzipBomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return b.String()
}

// signer is an attacker at his best: he has the control plane's own key.
type signer struct{ key ed25519.PrivateKey }

func (s *site) signer() signer {
	s.t.Helper()
	key, err := keys.LoadSigning(filepath.Join(s.Dir, "signing.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	return signer{key}
}

// sign signs any payload for the purpose of a resolve reply.
func (s signer) sign(payload []byte) []byte {
	c := must(cose.NewSigner(cose.AlgorithmEdDSA, s.key))
	header := cose.Headers{Protected: cose.ProtectedHeader{cose.HeaderLabelAlgorithm: cose.AlgorithmEdDSA}}
	return must(cose.Sign1(nil, c, header, payload, []byte("agent-launcher resolve reply 1")))
}

// unsigned takes the payload out of a signed reply.
func unsigned(data []byte) ([]byte, error) {
	var msg cose.Sign1Message
	err := msg.UnmarshalCBOR(data)
	return msg.Payload, err
}

// must is for what an honest control plane has made.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// forge changes the honest reply and signs it again.
func (s signer) forge(change func(*protocol.ResolveReply)) attack {
	return rewrite(func(b []byte) []byte {
		reply := must(protocol.DecodeReply(must(unsigned(b))))
		change(reply)
		return s.sign(must(protocol.Marshal(reply)))
	})
}

// bend changes the bytes of the honest payload and signs them again.
func (s signer) bend(change func([]byte) []byte) attack {
	return rewrite(func(b []byte) []byte { return s.sign(change(must(unsigned(b)))) })
}

// secondKeyTwice replaces key 2 of the payload's map by key 1, or swaps the two.
func secondKeyTwice(b []byte) []byte {
	// {1: 1, 2: h'nonce', ...}: a5 01 01 02 58 20 ...
	if !strings.HasPrefix(string(b), "\xa5\x01\x01\x02\x58\x20") {
		panic("the payload looks different")
	}
	b[3] = 1
	return b
}

func unsorted(b []byte) []byte {
	head, nonce, rest := b[1:3], b[3:3+3+protocol.NonceSize], b[3+3+protocol.NonceSize:]
	return bytes.Join([][]byte{b[:1], nonce, head, rest}, nil)
}
