package store

import "errors"

// Secret is the metadata of a secret and its wrapped data key.
type Secret struct {
	ID, CompanyID, Name, Key, Description, Purpose, Status string

	Latest               uint32 // newest version
	DataKey              []byte // wrapped by the master key; nil once deleted
	CreatedAt, UpdatedAt string
}

// Version is one encrypted value.
type Version struct {
	Number     uint32
	Size       int // of the value, bytes
	Ciphertext []byte
}

func scanVersion(s scanner) (v Version, err error) {
	err = s.Scan(&v.Number, &v.Size, &v.Ciphertext)
	return v, err
}

const secretColumns = "id, company_id, name, key, description, purpose, status, latest_version, data_key, created_at, updated_at"

func scanSecret(s scanner) (v Secret, err error) {
	err = s.Scan(&v.ID, &v.CompanyID, &v.Name, &v.Key, &v.Description, &v.Purpose, &v.Status, &v.Latest, &v.DataKey, &v.CreatedAt, &v.UpdatedAt)
	return v, err
}

// Secret reads one secret that is not deleted.
func (t *Tx) Secret(id string) (Secret, error) {
	return one(t, scanSecret, "SELECT "+secretColumns+" FROM secrets WHERE id = ? AND status <> 'deleted'", id)
}

// SecretOrDeleted reads one secret, deleted or not.
func (t *Tx) SecretOrDeleted(id string) (Secret, error) {
	return one(t, scanSecret, "SELECT "+secretColumns+" FROM secrets WHERE id = ?", id)
}

// Secrets reads the secrets of a company that are not deleted, oldest first.
func (t *Tx) Secrets(companyID string) ([]Secret, error) {
	return many(t, scanSecret, "SELECT "+secretColumns+" FROM secrets WHERE company_id = ? AND status <> 'deleted' ORDER BY rowid", companyID)
}

// AddSecret writes a new secret without versions. ErrExists: the company has
// one of that key.
func (t *Tx) AddSecret(s Secret) error {
	return t.exec("INSERT INTO secrets ("+secretColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		s.ID, s.CompanyID, s.Name, s.Key, s.Description, s.Purpose, s.Status, s.Latest, s.DataKey, s.CreatedAt, s.UpdatedAt)
}

// SetSecret writes what of a secret can change. ErrExists: the company has
// another of that key.
func (t *Tx) SetSecret(s Secret) error {
	return t.change("UPDATE secrets SET name = ?, key = ?, description = ?, status = ?, latest_version = ?, updated_at = ? WHERE id = ?",
		s.Name, s.Key, s.Description, s.Status, s.Latest, s.UpdatedAt, s.ID)
}

// DeleteSecret destroys data key and versions; a row without them stays.
func (t *Tx) DeleteSecret(id, at string) error {
	return errors.Join(
		t.exec("DELETE FROM secret_versions WHERE secret_id = ?", id),
		t.change("UPDATE secrets SET status = 'deleted', data_key = NULL, updated_at = ? WHERE id = ? AND status <> 'deleted'", at, id))
}

// AddVersion writes one version of a secret. Versions never change.
func (t *Tx) AddVersion(secretID string, v Version, at string) error {
	return t.exec("INSERT INTO secret_versions (secret_id, version, size, ciphertext, created_at) VALUES (?, ?, ?, ?, ?)",
		secretID, v.Number, v.Size, v.Ciphertext, at)
}

// VersionSize reads the size in bytes of one version's value.
func (t *Tx) VersionSize(secretID string, number uint32) (int, error) {
	return one(t, scalar[int], "SELECT size FROM secret_versions WHERE secret_id = ? AND version = ?", secretID, number)
}

// Version reads one version of a secret.
func (t *Tx) Version(secretID string, number uint32) (Version, error) {
	return one(t, scanVersion, "SELECT version, size, ciphertext FROM secret_versions WHERE secret_id = ? AND version = ?", secretID, number)
}
