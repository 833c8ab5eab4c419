package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const at = "2026-01-01T00:00:00.000Z"

// open opens a database with companies c and d, a host of c and an agent of c.
func open(t *testing.T) (*store.DB, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "odd ?#%41 name.db")
	db, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // may be closed by the test
	update(t, db, nil, func(tx *store.Tx) error {
		return errors.Join(
			tx.AddCompany(store.Company{ID: "c", Name: "C", CreatedAt: at, UpdatedAt: at}),
			tx.AddCompany(store.Company{ID: "d", Name: "D", CreatedAt: at, UpdatedAt: at}),
			tx.AddHost(store.Host{ID: "h", CompanyID: "c", Name: "h", PublicKey: []byte("k"), TokenHash: []byte("t"), CreatedAt: at}),
			tx.AddAgent(agent("a", "c", nil)))
	})
	return db, path
}

func agent(id, company string, host *string) store.Agent {
	return store.Agent{ID: id, CompanyID: company, Name: id, AdapterType: "process", AdapterConfig: []byte("{}"), RuntimeConfig: []byte("{}"),
		Status: "active", HostID: host, CreatedAt: at, UpdatedAt: at}
}

func secret(id, company, key string) store.Secret {
	return store.Secret{ID: id, CompanyID: company, Name: key, Key: key, Purpose: "p", Status: "active", Latest: 1, DataKey: []byte("wrapped"), CreatedAt: at, UpdatedAt: at}
}

func update(t *testing.T, db *store.DB, want error, f func(*store.Tx) error) {
	t.Helper()
	if err := db.Update(context.Background(), f); !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}

// TestRules: what the database refuses by itself, whatever the server does.
func TestRules(t *testing.T) {
	host := "h"
	for _, tt := range []struct {
		name string
		want string // "exists", "not found", or part of SQLite's words
		f    func(tx *store.Tx) error
	}{
		{"company twice", "exists", func(tx *store.Tx) error { return tx.AddCompany(store.Company{ID: "c"}) }},
		{"host's name twice", "exists", func(tx *store.Tx) error {
			return tx.AddHost(store.Host{ID: "i", CompanyID: "c", Name: "h", PublicKey: []byte{1}, TokenHash: []byte{1}, CreatedAt: at})
		}},
		{"host of no company", "FOREIGN KEY", func(tx *store.Tx) error {
			return tx.AddHost(store.Host{ID: "i", CompanyID: "x", Name: "i", PublicKey: []byte{1}, TokenHash: []byte{1}, CreatedAt: at})
		}},
		{"agent on another company's host", "FOREIGN KEY", func(tx *store.Tx) error { return tx.AddAgent(agent("b", "d", &host)) }},
		{"operator of no company", "FOREIGN KEY", func(tx *store.Tx) error {
			return tx.AddOperator(store.Operator{ID: "o", TokenHash: []byte{1}, Companies: []string{"x"}})
		}},
		{"secret's key twice", "exists", func(tx *store.Tx) error {
			return errors.Join(tx.AddSecret(secret("s", "c", "k")), tx.AddSecret(secret("t", "c", "k")))
		}},
		{"version twice", "exists", func(tx *store.Tx) error {
			v := store.Version{Number: 1, Size: 1, Ciphertext: []byte{1}}
			return errors.Join(tx.AddSecret(secret("s", "c", "k")), tx.AddVersion("s", v, at), tx.AddVersion("s", v, at))
		}},
		{"version 0", "CHECK", func(tx *store.Tx) error {
			return errors.Join(tx.AddSecret(secret("s", "c", "k")), tx.AddVersion("s", store.Version{Ciphertext: []byte{1}}, at))
		}},
		{"secret without a data key", "CHECK", func(tx *store.Tx) error {
			s := secret("s", "c", "k")
			s.DataKey = nil
			return tx.AddSecret(s)
		}},
		{"unknown status", "CHECK", func(tx *store.Tx) error { a := agent("b", "c", nil); a.Status = "odd"; return tx.AddAgent(a) }},
		{"setting twice", "exists", func(tx *store.Tx) error {
			return errors.Join(tx.AddSetting("n", []byte{1}), tx.AddSetting("n", []byte{2}))
		}},
		{"change of no host", "not found", func(tx *store.Tx) error { return tx.SeeHost("x", at) }},
		{"change of no agent", "not found", func(tx *store.Tx) error { return tx.SetAgent(agent("x", "c", nil)) }},
		{"change of no secret", "not found", func(tx *store.Tx) error { return tx.SetSecret(secret("x", "c", "k")) }},
		{"deletion of no operator", "not found", func(tx *store.Tx) error { return tx.DeleteOperator("x") }},
		{"no secret", "not found", func(tx *store.Tx) error { _, err := tx.Secret("x"); return err }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db, _ := open(t)
			err := db.Update(context.Background(), tt.f)
			got := "nothing"
			switch {
			case errors.Is(err, store.ErrExists):
				got = "exists"
			case errors.Is(err, store.ErrNotFound):
				got = "not found"
			case err != nil:
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// TestUpdateIsAllOrNothing: a failed transaction leaves no row.
func TestUpdateIsAllOrNothing(t *testing.T) {
	db, _ := open(t)
	failed := errors.New("failed")
	update(t, db, failed, func(tx *store.Tx) error { return errors.Join(tx.AddSecret(secret("s", "c", "k")), failed) })
	update(t, db, store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Secret("s"); return err })
}

// TestView: a read transaction sees one moment, cannot write, and the next one
// sees what was committed meanwhile.
func TestView(t *testing.T) {
	db, _ := open(t)
	latest := func(tx *store.Tx) uint32 {
		s, err := tx.Secret("s")
		if err != nil {
			t.Fatal(err)
		}
		return s.Latest
	}
	update(t, db, nil, func(tx *store.Tx) error { return tx.AddSecret(secret("s", "c", "k")) })
	err := db.View(context.Background(), func(tx *store.Tx) error {
		before := latest(tx)
		update(t, db, nil, func(w *store.Tx) error { s := secret("s", "c", "k"); s.Latest = 2; return w.SetSecret(s) })
		if now := latest(tx); now != before {
			t.Errorf("version %d became %d within a transaction", before, now)
		}
		if tx.AddSetting("n", []byte{1}) == nil {
			t.Error("wrote in a read transaction")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	_ = db.View(context.Background(), func(tx *store.Tx) error {
		if latest(tx) != 2 {
			t.Error("the next transaction sees the old version")
		}
		return nil
	})
}

// TestDeletedKeyIsFree: a deleted secret keeps its row, not its name.
func TestDeletedKeyIsFree(t *testing.T) {
	db, _ := open(t)
	update(t, db, nil, func(tx *store.Tx) error {
		return errors.Join(tx.AddSecret(secret("s", "c", "k")), tx.AddVersion("s", store.Version{Number: 1, Ciphertext: []byte{1}}, at),
			tx.DeleteSecret("s", at), tx.AddSecret(secret("t", "c", "k")))
	})
	update(t, db, store.ErrNotFound, func(tx *store.Tx) error { _, err := tx.Version("s", 1); return err })
	update(t, db, nil, func(tx *store.Tx) error {
		s, err := tx.SecretOrDeleted("s")
		if err != nil || s.Status != "deleted" || s.DataKey != nil {
			t.Errorf("%+v, %v", s, err)
		}
		return err
	})
}

// TestPruneIssued forgets what has expired and what was of a deleted host.
func TestPruneIssued(t *testing.T) {
	db, _ := open(t)
	issued := store.Issued{AgentID: "a", HostID: "h", BundleID: "b", KeyID: []byte{1}, Fingerprint: []byte{1}, ExpiresAt: 100}
	for _, tt := range []struct {
		forget func(*store.Tx) error
		want   error
	}{
		{func(tx *store.Tx) error { return tx.PruneIssued(99) }, nil},
		{func(tx *store.Tx) error { return tx.PruneIssued(100) }, store.ErrNotFound},
		{func(tx *store.Tx) error { return tx.DeleteHost("h", at) }, store.ErrNotFound},
	} {
		update(t, db, tt.want, func(tx *store.Tx) error {
			if err := errors.Join(tx.SetIssued(issued), tt.forget(tx)); err != nil {
				t.Error(err)
			}
			_, err := tx.Issued("a", "h")
			return err
		})
	}
}

// TestOpen: modes, a second opening, and a schema from the future.
func TestOpen(t *testing.T) {
	db, path := open(t)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(path + suffix); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v", suffix, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	update(t, again, nil, func(tx *store.Tx) error { _, err := tx.Company("c"); return err })
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("INSERT INTO schema_migrations VALUES (999, '')"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(path); err == nil || !strings.Contains(err.Error(), "newer control-plane") {
		t.Errorf("a newer schema: %v", err)
	}
	if _, err := store.Open(filepath.Join(path, "below")); err == nil || !strings.Contains(err.Error(), "cannot open database") {
		t.Errorf("below a file: %v", err)
	}
}
