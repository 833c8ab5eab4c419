package controlplane_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
)

// alter runs a statement on the database file of a stopped server.
func alter(t *testing.T, s *controlplanetest.Server, statement string, args ...any) {
	t.Helper()
	s.Stop()
	db, err := sql.Open("sqlite", filepath.Join(s.Dir, "control-plane.db"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := db.Exec(statement, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := res.RowsAffected(); n == 0 {
		t.Fatalf("%s changed nothing", statement)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s.Start()
}

// TestTampered: who can write the database cannot make a value appear elsewhere
// than where it was stored, and harms only the agents that use it.
func TestTampered(t *testing.T) {
	const copyVersion = `UPDATE secret_versions SET ciphertext = (SELECT ciphertext FROM secret_versions WHERE secret_id = ?1 AND version = ?2) WHERE secret_id = ?3 AND version = ?4`
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, f *fixture, a, b string)
	}{
		{"key and value of another secret", func(t *testing.T, f *fixture, a, b string) {
			alter(t, f.Server, `UPDATE secrets SET data_key = (SELECT data_key FROM secrets WHERE id = ?) WHERE id = ?`, b, a)
			alter(t, f.Server, copyVersion, b, 1, a, 2)
		}},
		{"one byte more", func(t *testing.T, f *fixture, a, _ string) {
			alter(t, f.Server, `UPDATE secret_versions SET ciphertext = CAST(ciphertext || x'00' AS BLOB) WHERE secret_id = ? AND version = 2`, a)
		}},
		{"zeroes", func(t *testing.T, f *fixture, a, _ string) {
			alter(t, f.Server, `UPDATE secret_versions SET ciphertext = zeroblob(length(ciphertext)) WHERE secret_id = ? AND version = 2`, a)
		}},
		{"nothing", func(t *testing.T, f *fixture, a, _ string) {
			alter(t, f.Server, `UPDATE secret_versions SET ciphertext = x'' WHERE secret_id = ? AND version = 2`, a)
		}},
		{"data key gone", func(t *testing.T, f *fixture, a, _ string) {
			alter(t, f.Server, `UPDATE secrets SET data_key = x'' WHERE id = ?`, a)
		}},
		{"size", func(t *testing.T, f *fixture, a, _ string) {
			alter(t, f.Server, `UPDATE secret_versions SET size = 1 WHERE secret_id = ? AND version = 2`, a)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			a, b := f.CreateSecret(f.company, "A", "a1"), f.CreateSecret(f.company, "B", "b1")
			f.Rotate(a, "a2")
			bad, good := f.agent(t, map[string]any{"A": ref(a)}), f.agent(t, map[string]any{"B": ref(b)})
			tt.change(t, f, a, b)
			replies := f.resolve(t, f.ask(bad), f.ask(good))
			if codes(replies[0]) != "A:internal" {
				t.Errorf("%q, want A:internal", codes(replies[0]))
			}
			if f.values(t, replies[1])["B"] != "b1" {
				t.Error("the other agent did not get its value")
			}
			if e := f.SecretEvents(a)[0]; e.Outcome != "error" || e.ErrorCode == nil || *e.ErrorCode != "internal" {
				t.Errorf("event %+v", e)
			}
		})
	}
}

// TestForeignMoved: a secret moved to another company by hand does not open
// there.
func TestForeignMoved(t *testing.T) {
	f := newFixture(t)
	a := f.CreateSecret(f.CreateCompany("Other"), "A", "a1")
	alter(t, f.Server, `UPDATE secrets SET company_id = ? WHERE id = ?`, f.company, a)
	if r := f.resolve(t, f.ask(f.agent(t, map[string]any{"A": ref(a)})))[0]; codes(r) != "A:internal" {
		t.Errorf("%q, want A:internal", codes(r))
	}
}

// TestDeleteErases: after DELETE neither the data key nor the ciphertext is in
// any file.
func TestDeleteErases(t *testing.T) {
	f := newFixture(t)
	a := f.CreateSecret(f.company, "A", "a1")
	f.Rotate(a, "a2")
	var traces [][]byte
	db, err := sql.Open("sqlite", filepath.Join(f.Dir, "control-plane.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{`SELECT data_key FROM secrets WHERE id = ?`, `SELECT ciphertext FROM secret_versions WHERE secret_id = ? AND version = 1`} {
		var b []byte
		if err := db.QueryRow(q, a).Scan(&b); err != nil {
			t.Fatal(err)
		}
		traces = append(traces, b)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if n := count(t, f.Dir, traces); n == 0 {
		t.Fatal("not found before the deletion: this test would see nothing")
	}
	f.DeleteSecret(a)
	if n := count(t, f.Dir, traces); n != 0 {
		t.Errorf("%d traces after the deletion", n)
	}
}

func count(t *testing.T, dir string, traces [][]byte) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "control-plane.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range traces {
			n += bytes.Count(data, trace)
		}
	}
	return n
}
