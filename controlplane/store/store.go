// Package store keeps the control plane's records in SQLite. It sees
// ciphertext, hashes of tokens and metadata, never a value or a key. It decides
// nothing: who may do what is the server's.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What a caller branches on.
var (
	ErrNotFound = errors.New("no such row")
	ErrExists   = errors.New("already exists")
)

// readers is the number of concurrent read transactions.
const readers = 4

// DB is the database. Any number of read transactions run beside one write
// transaction; each sees one consistent state (write-ahead log).
type DB struct {
	read, write *sql.DB
}

// Open opens the database at path, which it makes with mode 0600 if needed,
// and brings its schema up to date.
func Open(path string) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open database: %w", err)
	}
	// SQLite would make the file with 0644 and give its log the same mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open database: %w", err)
	}
	_ = f.Close() // nothing was written
	db := &DB{}
	if db.write, err = openPool(path, 1, "immediate"); err != nil {
		return nil, err
	}
	if err := migrate(db.write); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open database %s: %w", path, err), db.Close())
	}
	if db.read, err = openPool(path, readers, "deferred", "query_only(1)"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openPool: synchronous FULL, because an acknowledged rotation must survive a
// power failure; secure_delete, because a deleted key must not stay in a free
// page; temp_store MEMORY, so that no temporary file appears elsewhere.
func openPool(path string, conns int, lock string, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_txlock": {lock}, "_pragma": append([]string{
		"busy_timeout(10000)", "journal_mode(WAL)", "foreign_keys(1)", "synchronous(FULL)",
		"secure_delete(1)", "temp_store(MEMORY)", "trusted_schema(0)",
	}, pragmas...)}
	dsn := (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("cannot open database %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// Close closes the database; SQLite then folds the log into the file.
func (db *DB) Close() error {
	var err error
	for _, pool := range []*sql.DB{db.read, db.write} {
		if pool != nil {
			err = errors.Join(err, pool.Close())
		}
	}
	return err
}

// View runs f in one read transaction: everything it reads is of one moment,
// and that moment is not before any Update that has returned.
func (db *DB) View(ctx context.Context, f func(*Tx) error) error {
	return run(ctx, db.read, f)
}

// Update runs f in the one write transaction. It is on disk when Update
// returns nil, and did not happen otherwise.
func (db *DB) Update(ctx context.Context, f func(*Tx) error) error {
	return run(ctx, db.write, f)
}

func run(ctx context.Context, pool *sql.DB, f func(*Tx) error) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("cannot begin transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // says ErrTxDone after Commit
	if err := f(&Tx{ctx: ctx, tx: tx}); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("cannot commit: %w", classify(err))
	}
	return nil
}

// Purge moves the log into the file and empties it, so that rows deleted
// before do not stay in it.
func (db *DB) Purge(ctx context.Context) error {
	_, err := db.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// Tx is a transaction. Its methods are in the file of the record they are
// about; they return ErrNotFound and ErrExists.
type Tx struct {
	ctx context.Context
	tx  *sql.Tx
}

func (t *Tx) exec(query string, args ...any) error {
	_, err := t.tx.ExecContext(t.ctx, query, args...)
	return classify(err)
}

// change is exec for a statement that must hit at least one row.
func (t *Tx) change(query string, args ...any) error {
	res, err := t.tx.ExecContext(t.ctx, query, args...)
	if err != nil {
		return classify(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, ErrNotFound)
	}
	return nil
}

type scanner interface{ Scan(...any) error }

// scalar scans a row of one column.
func scalar[T any](s scanner) (v T, err error) {
	err = s.Scan(&v)
	return v, err
}

// one reads the single row that query yields.
func one[T any](t *Tx, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	v, err := scan(t.tx.QueryRowContext(t.ctx, query, args...))
	return v, classify(err)
}

// many reads all rows that query yields.
func many[T any](t *Tx, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := t.tx.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, classify(err)
	}
	defer rows.Close()
	all := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

func classify(err error) error {
	var failure *sqlite.Error
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	case !errors.As(err, &failure):
		return err
	}
	switch failure.Code() {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return ErrExists
	}
	return err
}
