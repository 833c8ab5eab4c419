package store

import "errors"

// Event is one access event: what a host was told about one ref of an agent,
// or, with no secret, about the agent.
type Event struct {
	ID                       int64
	CompanyID, HostID        string
	SecretID                 *string
	Version                  *uint32
	ConsumerType, ConsumerID string
	ConfigPath               *string
	Outcome                  string
	ErrorCode                *string
	CreatedAt                string
}

const eventColumns = "id, company_id, host_id, secret_id, version, consumer_type, consumer_id, config_path, outcome, error_code, created_at"

func scanEvent(s scanner) (e Event, err error) {
	err = s.Scan(&e.ID, &e.CompanyID, &e.HostID, &e.SecretID, &e.Version, &e.ConsumerType, &e.ConsumerID, &e.ConfigPath, &e.Outcome, &e.ErrorCode, &e.CreatedAt)
	return e, err
}

// AddEvents writes events; ids are given by the database.
func (t *Tx) AddEvents(events []Event) error {
	stmt, err := t.tx.PrepareContext(t.ctx, "INSERT INTO access_events ("+eventColumns+") VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
	if err != nil {
		return classify(err)
	}
	defer stmt.Close()
	for _, e := range events {
		if _, err := stmt.ExecContext(t.ctx, e.CompanyID, e.HostID, e.SecretID, e.Version, e.ConsumerType, e.ConsumerID, e.ConfigPath, e.Outcome, e.ErrorCode, e.CreatedAt); err != nil {
			return classify(err)
		}
	}
	return nil
}

// BoundEvents removes the oldest events of a host beyond the newest keep of each
// outcome.
func (t *Tx) BoundEvents(hostID string, keep int) error {
	type excess struct {
		outcome string
		n       int
	}
	over, err := many(t, func(s scanner) (excess, error) {
		var e excess
		err := s.Scan(&e.outcome, &e.n)
		return e, err
	}, "SELECT outcome, n - ? FROM event_counts WHERE host_id = ? AND n > ?", keep, hostID, keep)
	for _, e := range over {
		err = errors.Join(err, t.exec("DELETE FROM access_events WHERE id IN (SELECT id FROM access_events WHERE host_id = ? AND outcome = ? ORDER BY id LIMIT ?)", hostID, e.outcome, e.n))
	}
	return err
}

// SecretEvents reads the newest events of a secret within its company, newest
// first: what hosts of other companies tried is in the log of their company.
func (t *Tx) SecretEvents(companyID, secretID string, limit int) ([]Event, error) {
	return many(t, scanEvent, "SELECT "+eventColumns+" FROM access_events WHERE secret_id = ? AND company_id = ? ORDER BY id DESC LIMIT ?", secretID, companyID, limit)
}

// HostEvents reads the newest events of a host, newest first.
func (t *Tx) HostEvents(hostID string, limit int) ([]Event, error) {
	return many(t, scanEvent, "SELECT "+eventColumns+" FROM access_events WHERE host_id = ? ORDER BY id DESC LIMIT ?", hostID, limit)
}
