package controlplane_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// canary makes a value that nothing else contains.
func canary() string {
	b := make([]byte, 24)
	rand.Read(b)
	return "canary-" + hex.EncodeToString(b)
}

// forms are the shapes in which a value could leak: itself, hex in both cases,
// base64 in both alphabets at each alignment.
func forms(value string) [][]byte {
	all := [][]byte{[]byte(value), []byte(hex.EncodeToString([]byte(value))), []byte(strings.ToUpper(hex.EncodeToString([]byte(value))))}
	for shift := range 3 {
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := enc.EncodeToString([]byte(strings.Repeat("x", shift) + value))
			all = append(all, []byte(text[4:len(text)-4]))
		}
	}
	return all
}

func leaks(data []byte, values ...string) bool {
	for _, v := range values {
		for _, f := range forms(v) {
			if bytes.Contains(data, f) {
				return true
			}
		}
	}
	return false
}

// TestNoValueInErrors sends canaries along every way to be refused, by a broken
// body, a wrong field, a wrong token, a wrong path, then looks for them in every
// answer, the log and every file.
func TestNoValueInErrors(t *testing.T) {
	f := newFixture(t)
	var canaries []string
	next := func() string { canaries = append(canaries, canary()); return canaries[len(canaries)-1] }
	secrets := "/api/companies/" + f.company + "/secrets"
	id := f.CreateSecret(f.company, "TOKEN", next())
	gone := f.CreateSecret(f.company, "GONE", next())
	agent := f.agent(t, map[string]any{"TOKEN": ref(id), "PINNED": ref(id, 1)})
	const none = "00000000-0000-4000-8000-000000000000"
	type m = map[string]any
	for _, c := range []struct {
		token, method, path string
		body                any
	}{
		{f.OperatorToken, "POST", secrets, m{"name": "N", "value": next(), "description": "d"}},
		{f.OperatorToken, "POST", secrets, m{"name": "N", "value": next()}},
		{f.OperatorToken, "POST", secrets, m{"name": "", "value": next()}},
		{f.OperatorToken, "POST", secrets, m{"name": "G", "value": next(), "purpose": "oauth_grant"}},
		{f.OperatorToken, "POST", secrets, m{"name": "G", "value": next() + "\x00"}},
		{f.OperatorToken, "POST", secrets, m{"name": "G", "valeu": next()}},
		{f.OperatorToken, "POST", secrets, m{"name": "G", "value": m{"x": next()}}},
		{f.OperatorToken, "POST", secrets, m{"name": "G", "value": []string{next()}}},
		{f.OperatorToken, "POST", secrets, m{"name": m{"x": 1}, "value": next()}},
		{f.OperatorToken, "POST", secrets, next()},
		{f.OperatorToken, "POST", secrets, m{"name": "G", "value": strings.Repeat(next(), 40_000)}},
		{f.token, "POST", secrets, m{"name": "G", "value": next()}},
		{"", "POST", secrets, m{"name": "G", "value": next()}},
		{f.OperatorToken, "POST", "/api/companies/" + none + "/secrets", m{"name": "G", "value": next()}},
		{f.OperatorToken, "PATCH", "/api/secrets/" + id, m{"value": next()}},
		{f.OperatorToken, "PATCH", "/api/secrets/" + id, m{"value": next(), "status": "disabled"}},
		{f.OperatorToken, "PATCH", "/api/secrets/" + id, m{"value": next(), "name": "N"}},
		{f.OperatorToken, "POST", "/api/secrets/" + id + "/rotate", m{"value": next()}},
		{f.OperatorToken, "POST", "/api/secrets/" + none + "/rotate", m{"value": next()}},
		{f.OperatorToken, "PUT", "/api/secrets/" + id, m{"value": next()}},
		{f.OperatorToken, "POST", "/api/companies?value=" + next(), m{"name": "x"}},
		{f.OperatorToken, "GET", "/api/" + next(), nil},
		{next(), "GET", "/api/companies", nil},
		{f.OperatorToken, "GET", secrets, nil},
		{f.OperatorToken, "GET", "/api/secrets/" + id, nil},
		{f.OperatorToken, "GET", "/api/agents/" + agent, nil},
		{f.OperatorToken, "DELETE", "/api/secrets/" + gone, nil},
	} {
		res := f.Do(c.token, c.method, c.path, c.body)
		if leaks(res.Body, canaries...) || leaks(fmt.Append(nil, res.Header), canaries...) {
			t.Errorf("%s %s: the answer holds a value: %.300s", c.method, c.path, res.Body)
		}
	}
	cut := http.Header{"Authorization": {"Bearer " + f.OperatorToken}, "Content-Type": {"application/json"}}
	if res := f.Send("POST", secrets, cut, []byte(`{"name":"G","value":"`+next()+`\q"}`)); res.Status != 400 || leaks(res.Body, canaries...) {
		t.Errorf("broken JSON: %d %s", res.Status, res.Body)
	}
	res := f.Resolve(f.host, f.token, request(f.ask(agent)))
	if res.Status != 200 || leaks(res.Body, canaries...) {
		t.Errorf("resolve: %d, or the reply holds a value", res.Status)
	}
	f.resolve(t, f.ask(agent, bind("TOKEN", id, 1)), f.ask("x", protocol.Binding{Name: "A", SecretID: "y"}))
	if leaks(fmt.Append(nil, f.SecretEvents(id), f.HostEvents(f.host)), canaries...) {
		t.Error("an access event holds a value")
	}
	scanFiles(t, f.Dir, canaries) // with a live log beside the database
	f.Stop()
	scanFiles(t, f.Dir, canaries)
	if leaks([]byte(f.Log()), canaries...) {
		t.Error("the log holds a value")
	}
	if !strings.Contains(f.Log(), `"route":"/api/secrets/{secretId}/rotate","status":200,"actor":"operator:`) {
		t.Error("the log lacks the line of a rotation: this test would see nothing")
	}
}

func scanFiles(t *testing.T, dir string, canaries []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if leaks(data, canaries...) {
			t.Errorf("%s holds a value", file.Name())
		}
		if info, err := file.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", file.Name(), info.Mode(), err)
		}
	}
}

// TestLeaksFinds proves that the search above finds what it looks for.
func TestLeaksFinds(t *testing.T) {
	v := canary()
	for _, text := range []string{v, hex.EncodeToString([]byte(v)), base64.StdEncoding.EncodeToString([]byte("ab" + v + "c")), base64.URLEncoding.EncodeToString([]byte("a" + v))} {
		if !leaks([]byte("..."+text+"..."), v) {
			t.Errorf("not found in %s", text)
		}
	}
}
