package store

// Issued is the metadata of the newest bundle of an agent on a host.
type Issued struct {
	AgentID, HostID, BundleID string

	KeyID       []byte // of the host key it was sealed to
	Fingerprint []byte // of the refs with their versions
	ExpiresAt   int64  // Unix seconds
}

const issuedColumns = "agent_id, host_id, bundle_id, key_id, fingerprint, expires_at"

func scanIssued(s scanner) (i Issued, err error) {
	err = s.Scan(&i.AgentID, &i.HostID, &i.BundleID, &i.KeyID, &i.Fingerprint, &i.ExpiresAt)
	return i, err
}

// Issued reads the newest bundle of an agent on a host.
func (t *Tx) Issued(agentID, hostID string) (Issued, error) {
	return one(t, scanIssued, "SELECT "+issuedColumns+" FROM issued_bundles WHERE agent_id = ? AND host_id = ?", agentID, hostID)
}

// SetIssued notes a bundle in place of the agent's earlier one on that host.
func (t *Tx) SetIssued(i Issued) error {
	return t.exec("INSERT OR REPLACE INTO issued_bundles ("+issuedColumns+") VALUES (?, ?, ?, ?, ?, ?)",
		i.AgentID, i.HostID, i.BundleID, i.KeyID, i.Fingerprint, i.ExpiresAt)
}

// PruneIssued forgets bundles that have expired at now, Unix seconds.
func (t *Tx) PruneIssued(now int64) error {
	return t.exec("DELETE FROM issued_bundles WHERE expires_at <= ?", now)
}
