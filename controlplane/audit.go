package controlplane

import (
	"strconv"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
)

// Outcomes of an access event.
const (
	outcomeSuccess   = "success"   // sealed to the host
	outcomeUnchanged = "unchanged" // the host was told to keep what it has
	outcomeDenied    = "denied"    // refused; errorCode is the protocol's code
	outcomeWithheld  = "withheld"  // fine by itself, but another ref of the agent was refused
	outcomeError     = "error"     // the control plane failed
)

// DefaultKeepEvents is how many access events are kept of each host and outcome,
// the newest: about 100 MB for a host that does its worst. They are bounded
// apart, so that refusals, which a host can cause at will, push out no delivery,
// the routine of unchanged bundles neither, and no host the events of another.
const DefaultKeepEvents = 50_000

// Numbers of events in one answer.
const (
	defaultEvents = 200
	maxEvents     = 1000
)

// eventJSON is one access event. Secret, version and config path are null
// where an agent was refused as a whole.
type eventJSON struct {
	ID           int64   `json:"id"`
	SecretID     *string `json:"secretId"`
	Version      *uint32 `json:"version"`
	ConsumerType string  `json:"consumerType"`
	ConsumerID   string  `json:"consumerId"`
	ConfigPath   *string `json:"configPath"`
	HostID       string  `json:"hostId"`
	Outcome      string  `json:"outcome"`
	ErrorCode    *string `json:"errorCode"`
	CreatedAt    string  `json:"createdAt"`
}

func eventsAnswer(events []store.Event) answer {
	all := make([]eventJSON, len(events))
	for i, e := range events {
		all[i] = eventJSON{e.ID, e.SecretID, e.Version, e.ConsumerType, e.ConsumerID, e.ConfigPath, e.HostID, e.Outcome, e.ErrorCode, e.CreatedAt}
	}
	return ok(all)
}

// eventLimit reads ?limit=N, how many events, newest first, to list.
func (c *call) eventLimit() (int, error) {
	text := c.URL.Query().Get("limit")
	if text == "" {
		return defaultEvents, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxEvents {
		return 0, invalid([]Detail{{"limit", "must be a number from 1 to " + strconv.Itoa(maxEvents)}})
	}
	return n, nil
}

// secretEvents also answers for a deleted secret: its history stays.
func (s *Server) secretEvents(c *call) (answer, error) {
	return s.events(c, func(tx *store.Tx, limit int) ([]store.Event, error) {
		v, err := tx.SecretOrDeleted(c.PathValue("secretId"))
		if err == nil && !c.actor.may(v.CompanyID) {
			err = store.ErrNotFound
		}
		if err != nil {
			return nil, missing(err, "Secret")
		}
		return tx.SecretEvents(v.CompanyID, v.ID, limit)
	})
}

// hostEvents shows what a host asked for, refusals that concern no secret
// included.
func (s *Server) hostEvents(c *call) (answer, error) {
	return s.events(c, func(tx *store.Tx, limit int) ([]store.Event, error) {
		h, err := c.hostOf(tx)
		if err != nil {
			return nil, err
		}
		return tx.HostEvents(h.ID, limit)
	})
}

func (s *Server) events(c *call, read func(*store.Tx, int) ([]store.Event, error)) (answer, error) {
	limit, err := c.eventLimit()
	if err != nil {
		return answer{}, err
	}
	var events []store.Event
	err = s.store.View(c.Context(), func(tx *store.Tx) (err error) {
		events, err = read(tx, limit)
		return err
	})
	return eventsAnswer(events), err
}
