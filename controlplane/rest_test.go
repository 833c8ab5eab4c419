package controlplane_test

import (
	"bytes"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/agent-launcher/agent-launcher/controlplane"
)

// A value is in no response after it came in, in no log line and in no file.
func TestNoValueAnywhere(t *testing.T) {
	f := newFixture(t)
	canary := func() string { return "canary-" + rand.Text() }
	values := []string{canary(), canary(), canary(), canary()}
	var seen bytes.Buffer
	do := func(method, path string, body any) map[string]any {
		r := f.Do(f.OperatorToken, method, path, body)
		seen.Write(r.Body)
		var m map[string]any
		if strings.HasPrefix(string(r.Body), "{") {
			r.Decode(t, &m)
		}
		return m
	}
	secrets := "/api/companies/" + f.company + "/secrets"
	id, _ := do("POST", secrets, map[string]any{"name": "a", "value": values[0]})["id"].(string)
	do("PATCH", "/api/secrets/"+id, map[string]any{"value": values[1]})
	do("POST", "/api/secrets/"+id+"/rotate", map[string]any{"value": values[2]})
	do("POST", secrets, map[string]any{"name": "a", "value": values[3]})                             // 409
	do("POST", secrets, map[string]any{"name": "b", "value": values[3], "purpose": "oauth_grant"})   // 422
	do("POST", secrets, map[string]any{"name": "b", "value": values[3], "vlaue": values[3]})         // 400
	do("PATCH", "/api/secrets/"+id, map[string]any{"value": values[3] + "\x00"})                     // NUL
	do("PATCH", "/api/secrets/"+id, map[string]any{"status": values[3]})                             // wrong field
	do("POST", "/api/companies/"+f.company+"/agents", map[string]any{"name": "x", "env": values[3]}) // wrong place
	agent := f.agent(t, map[string]any{"A": ref(id)})
	for _, path := range []string{secrets, "/api/secrets/" + id, "/api/secrets/" + id + "/access-events", "/api/agents/" + agent, "/api/companies/" + f.company + "/agents"} {
		do("GET", path, nil)
	}
	if f.values(t, f.resolve(t, f.ask(agent))[0])["A"] != values[2] {
		t.Fatal("the canary does not arrive: the search below would prove nothing")
	}
	do("DELETE", "/api/secrets/"+id, nil)
	search(t, "a response", seen.Bytes(), values)
	search(t, "the log", []byte(f.Log()), values)
	dir := func(when string) {
		err := filepath.WalkDir(f.Dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			search(t, path+" "+when, data, values)
			if info, _ := d.Info(); info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	dir("while it runs")
	f.Stop()
	dir("when it has ended")
}

func search(t *testing.T, where string, data []byte, values []string) {
	t.Helper()
	for _, v := range values {
		for _, form := range []string{v, hex.EncodeToString([]byte(v)), base64.RawStdEncoding.EncodeToString([]byte(v))} {
			if bytes.Contains(data, []byte(form)) {
				t.Errorf("a value is in %s", where)
			}
		}
	}
}

// Rows that somebody exchanges in the database do not decrypt: company, secret
// and version are bound to each ciphertext.
func TestSwappedRows(t *testing.T) {
	for name, swap := range map[string]string{
		"two secrets":  `UPDATE secret_versions SET ciphertext = (SELECT v.ciphertext FROM secret_versions v WHERE v.secret_id = $2 AND v.version = 1) WHERE secret_id = $1 AND version = 2`,
		"two versions": `UPDATE secret_versions SET ciphertext = (SELECT v.ciphertext FROM secret_versions v WHERE v.secret_id = $1 AND v.version = 1) WHERE secret_id = $1 AND version = 2 AND $2 = $2`,
		"keys and all": `UPDATE secrets SET data_key = (SELECT s.data_key FROM secrets s WHERE s.id = $2) WHERE id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			a, b := f.CreateSecret(f.company, "a", "aaaa"), f.CreateSecret(f.company, "b", "bbbb")
			f.Rotate(a, "cccc")
			agent := f.agent(t, map[string]any{"A": ref(a), "B": ref(b)})
			f.Stop()
			path, err := filepath.Glob(filepath.Join(f.Dir, "*.db"))
			if err != nil || len(path) != 1 {
				t.Fatal(path, err)
			}
			db, err := sql.Open("sqlite", path[0])
			if err != nil {
				t.Fatal(err)
			}
			res, err := db.Exec(swap, a, b)
			if err != nil {
				t.Fatal(err)
			}
			if n, _ := res.RowsAffected(); n != 1 {
				t.Fatalf("%d rows", n)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
			f.Start()
			if got := codes(f.resolve(t, f.ask(agent))[0]); got != "A:internal" {
				t.Errorf("%q", got)
			}
		})
	}
}

// A restart keeps everything, and a second server on the data is refused.
func TestRestartAndLock(t *testing.T) {
	f := newFixture(t)
	secret := f.CreateSecret(f.company, "a", "a1")
	agent := f.agent(t, map[string]any{"A": ref(secret)})
	if s, err := controlplane.Open(controlplane.Options{Data: f.Dir}); err == nil {
		_ = s.Close()
		t.Error("two servers on one directory")
	}
	f.Stop()
	f.Start()
	if got := f.values(t, f.resolve(t, f.ask(agent))[0])["A"]; got != "a1" {
		t.Errorf("%q", got)
	}
	f.Stop()
	if err := os.WriteFile(filepath.Join(f.Dir, "master.key"), []byte(base64.RawStdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := controlplane.Open(controlplane.Options{Data: f.Dir}); err == nil {
		_ = s.Close()
		t.Error("another master key is accepted")
	}
}
