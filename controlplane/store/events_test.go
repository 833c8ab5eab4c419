package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
)

// TestBoundEvents: the newest of each host and outcome stay, and a flood of one
// touches no other.
func TestBoundEvents(t *testing.T) {
	db, _ := open(t)
	s := "s"
	add := func(host, outcome string, n int) {
		events := make([]store.Event, n)
		for i := range events {
			events[i] = store.Event{CompanyID: "c", HostID: host, SecretID: &s, ConsumerType: "agent", ConsumerID: fmt.Sprint(i), Outcome: outcome, CreatedAt: at}
		}
		update(t, db, nil, func(tx *store.Tx) error {
			if err := tx.AddEvents(events); err != nil {
				return err
			}
			return tx.BoundEvents(host, 10)
		})
	}
	add("h", "success", 7)
	add("other", "success", 25)
	for range 3 {
		add("h", "denied", 1000)
	}
	add("h", "success", 6)
	kept := map[string][]string{}
	_ = db.View(context.Background(), func(tx *store.Tx) error {
		events, err := tx.SecretEvents("c", s, 1_000_000)
		for _, e := range events {
			key := e.HostID + " " + e.Outcome
			kept[key] = append(kept[key], e.ConsumerID)
		}
		return err
	})
	want := map[string]string{
		"h success":     "[5 4 3 2 1 0 6 5 4 3]",
		"other success": "[24 23 22 21 20 19 18 17 16 15]",
		"h denied":      "[999 998 997 996 995 994 993 992 991 990]",
	}
	for key, ids := range want {
		if fmt.Sprint(kept[key]) != ids {
			t.Errorf("%s: %v", key, kept[key])
		}
	}
	if len(kept) != len(want) {
		t.Errorf("%v", kept)
	}
}

// TestBoundOfOldEvents: events from before there was a bound are counted too.
func TestBoundOfOldEvents(t *testing.T) {
	db, path := open(t)
	update(t, db, nil, func(tx *store.Tx) error {
		return tx.AddEvents(make([]store.Event, 30))
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	_, err = raw.Exec(`DROP TRIGGER access_events_added; DROP TRIGGER access_events_removed; DROP TABLE event_counts;
		DROP INDEX access_events_oldest; DELETE FROM schema_migrations WHERE version = 2`)
	if err = errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	again, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	update(t, again, nil, func(tx *store.Tx) error {
		err := tx.BoundEvents("", 10)
		if events, _ := tx.HostEvents("", 100); len(events) != 10 {
			t.Errorf("%d events", len(events))
		}
		return err
	})
}
