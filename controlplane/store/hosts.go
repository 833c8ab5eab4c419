package store

import "errors"

// Host is a machine that runs the daemon.
type Host struct {
	ID, CompanyID, Name string
	PublicKey           []byte // HPKE, protocol.PublicKeySize bytes
	TokenHash           []byte // SHA-256 of the token
	LastSeenAt          *string
	CreatedAt           string
}

const hostColumns = "id, company_id, name, public_key, token_hash, last_seen_at, created_at"

func scanHost(s scanner) (h Host, err error) {
	err = s.Scan(&h.ID, &h.CompanyID, &h.Name, &h.PublicKey, &h.TokenHash, &h.LastSeenAt, &h.CreatedAt)
	return h, err
}

// Host reads one host.
func (t *Tx) Host(id string) (Host, error) {
	return one(t, scanHost, "SELECT "+hostColumns+" FROM hosts WHERE id = ?", id)
}

// Hosts reads the hosts of a company, oldest first.
func (t *Tx) Hosts(companyID string) ([]Host, error) {
	return many(t, scanHost, "SELECT "+hostColumns+" FROM hosts WHERE company_id = ? ORDER BY rowid", companyID)
}

// AddHost writes a new host. ErrExists: the company has one of that name.
func (t *Tx) AddHost(h Host) error {
	return t.exec("INSERT INTO hosts ("+hostColumns+") VALUES (?, ?, ?, ?, ?, ?, ?)",
		h.ID, h.CompanyID, h.Name, h.PublicKey, h.TokenHash, h.LastSeenAt, h.CreatedAt)
}

// SeeHost notes that a host asked. ErrNotFound: it was removed meanwhile.
func (t *Tx) SeeHost(id, at string) error {
	return t.change("UPDATE hosts SET last_seen_at = ? WHERE id = ?", at, id)
}

// DeleteHost removes a host and unassigns its agents.
func (t *Tx) DeleteHost(id, at string) error {
	return errors.Join(
		t.exec("UPDATE agents SET host_id = NULL, updated_at = ? WHERE host_id = ?", at, id),
		t.change("DELETE FROM hosts WHERE id = ?", id))
}
