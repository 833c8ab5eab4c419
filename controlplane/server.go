// Package controlplane is the reference control plane: it keeps companies,
// their secrets, agents and hosts, and seals each agent's secrets to the host
// that runs it. It speaks JSON over REST with Paperclip's field names, and CBOR
// to hosts (package protocol).
//
// It holds plaintext only while a value is created and while a bundle is
// sealed. No response, log line or error ever has one. It is not a Paperclip
// server: no issues, runs or heartbeats, only what a launcher needs.
package controlplane

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/controlplane/keys"
	"github.com/agent-launcher/agent-launcher/controlplane/store"
)

// DefaultBundleTTL is how long a bundle lives unless Options says otherwise.
const DefaultBundleTTL = 24 * time.Hour

// MinBundleTTL is the shortest lifetime: expiry has seconds, and a bundle must
// reach its host.
const MinBundleTTL = 10 * time.Second

// maxResolving bounds the resolves that run at the same time: each may hold a
// reply of protocol.MaxReplySize. More wait their turn.
const maxResolving = 4

// Options of a server.
type Options struct {
	// Data is the directory of everything the server keeps. It is made with
	// mode 0700 if needed.
	Data string
	// MasterKeyFile is the master key, base64 of 32 bytes, mode 0600; empty
	// for Data/master.key, made on the first start.
	MasterKeyFile string
	// BundleTTL is the lifetime of bundles; 0 for DefaultBundleTTL.
	BundleTTL time.Duration
	// KeepEvents is how many access events are kept of each host and outcome; 0
	// for DefaultKeepEvents.
	KeepEvents int
	// Log receives one line per request; nil for none.
	Log *zap.Logger
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// Store is what the server needs of a database. store.DB is one.
type Store interface {
	// View runs f in a read transaction of one moment, which is not before any
	// Update that has returned.
	View(ctx context.Context, f func(*store.Tx) error) error
	// Update runs f in the one write transaction.
	Update(ctx context.Context, f func(*store.Tx) error) error
	// Purge leaves no trace of rows deleted before.
	Purge(ctx context.Context) error
	Close() error
}

// Server is the control plane. Open makes it, Close ends it.
type Server struct {
	store     Store
	master    *keys.Master
	signing   func() ed25519.PrivateKey // a func prints as an address only
	ttl       time.Duration
	log       *zap.Logger
	now       func() time.Time
	resolving chan struct{}
	changes   *changes
	lock      *os.File

	keepEvents int
}

// Open opens the data directory, which no other server may have open. On the
// first start it makes master.key, signing.key and operator.token there.
func Open(o Options) (*Server, error) {
	s := &Server{ttl: o.BundleTTL, keepEvents: o.KeepEvents, log: o.Log, now: o.Now, resolving: make(chan struct{}, maxResolving), changes: newChanges()}
	if s.ttl == 0 {
		s.ttl = DefaultBundleTTL
	}
	if s.ttl < MinBundleTTL {
		return nil, fmt.Errorf("cannot use a bundle TTL of %v: it must be at least %v", s.ttl, MinBundleTTL)
	}
	if s.keepEvents <= 0 {
		s.keepEvents = DefaultKeepEvents
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.lock, err = openDir(o.Data); err != nil {
		return nil, err
	}
	if err := s.open(o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(o Options) error {
	database, master := filepath.Join(o.Data, "control-plane.db"), o.MasterKeyFile
	signing := filepath.Join(o.Data, "signing.key")
	made := []string{signing}
	if master == "" {
		master = filepath.Join(o.Data, "master.key")
		made = append(made, master)
	}
	// Keys come before the database: a missing key beside a database is a
	// loss to report, never to paper over with a new key.
	if _, err := os.Stat(database); errors.Is(err, fs.ErrNotExist) {
		for _, path := range made {
			if err := keys.Ensure(path); err != nil {
				return fmt.Errorf("cannot write key: %w", err)
			}
		}
	}
	var err error
	if s.master, err = keys.LoadMaster(master); err != nil {
		return err
	}
	key, err := keys.LoadSigning(signing)
	if err != nil {
		return err
	}
	s.signing = func() ed25519.PrivateKey { return key }
	db, err := store.Open(database)
	if err != nil {
		return err
	}
	s.store = db
	if err := s.checkMaster(master); err != nil {
		return err
	}
	return s.bootstrap(filepath.Join(o.Data, "operator.token"))
}

// checkMaster compares the master key with the one that the data were
// encrypted with.
func (s *Server) checkMaster(path string) error {
	const setting = "master_key_check"
	return s.store.Update(context.Background(), func(tx *store.Tx) error {
		check, err := tx.Setting(setting)
		if errors.Is(err, store.ErrNotFound) {
			if check, err = s.master.Check(); err != nil {
				return err
			}
			return tx.AddSetting(setting, check)
		}
		if err != nil {
			return err
		}
		if s.master.Verify(check) != nil {
			return fmt.Errorf("cannot use master key %s: these data were encrypted with another one", path)
		}
		return nil
	})
}

// bootstrap makes the operator that may do everything, once. The token file
// comes first: after a crash in between, the next start replaces it.
func (s *Server) bootstrap(path string) error {
	return s.store.Update(context.Background(), func(tx *store.Tx) error {
		if there, err := tx.HasBootstrap(); there || err != nil {
			return err
		}
		o := store.Operator{ID: newID(), Name: "bootstrap", All: true, CreatedAt: store.Time(s.now())}
		token, hash := newToken(operatorToken, o.ID)
		if err := keys.WriteFile(path, []byte(token+"\n")); err != nil {
			return fmt.Errorf("cannot write bootstrap operator token: %w", err)
		}
		o.TokenHash = hash
		return tx.AddOperator(o)
	})
}

// SigningKey is the public key that hosts pin.
func (s *Server) SigningKey() ed25519.PublicKey {
	return s.signing().Public().(ed25519.PublicKey)
}

// Handler serves the API. Serve does so on a listener; tests may put something
// before it.
func (s *Server) Handler() http.Handler { return s.observe(s.routes()) }

// Close closes the database and lets others open the data directory. Requests
// must have ended.
func (s *Server) Close() error {
	var err error
	if s.store != nil {
		err = s.store.Close()
	}
	return errors.Join(err, s.lock.Close())
}
