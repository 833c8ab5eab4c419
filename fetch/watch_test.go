package fetch

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Watch tells of each change soon, and of nothing while nothing changes; what a
// hostile peer answers costs a few questions a second at most.
func TestWatch(t *testing.T) {
	s := newSite(t)
	secret := s.CreateSecret(s.company, "TOKEN", "value")
	var told atomic.Int64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.source.Watch(ctx, func() { told.Add(1) }) }()
	defer func() { cancel(); <-done }()
	for n := range int64(3) {
		eventually(t, func() bool { return told.Load() == n+1 }, s.status)
		s.Rotate(secret, "value")
	}
	eventually(t, func() bool { return told.Load() == 4 }, s.status)
	var asked atomic.Int64
	for name, a := range map[string]attack{
		"always another": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			asked.Add(1)
			_, _ = w.Write([]byte(`{"revision":"` + time.Now().String() + `"}`))
		},
		"nothing": respond(http.StatusOK, "{}"),
		"endless": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			_, _ = w.Write([]byte(`{"revision":"` + strings.Repeat("x", 1<<20)))
		},
		"404": respond(http.StatusNotFound, ""),
	} {
		s.turn(a)
		before := told.Load()
		s.Rotate(secret, "value") // ends the question that waits at the honest one
		if name != "always another" {
			continue
		}
		began := time.Now()
		eventually(t, func() bool { return told.Load() >= before+3 }, s.status)
		if most := 3 + int64(time.Since(began)/watchPause); asked.Load() > most {
			t.Errorf("%d questions in %s", asked.Load(), time.Since(began))
		}
	}
	s.turn(nil)
	s.Rotate(secret, "value")
	before := told.Load()
	eventually(t, func() bool { return told.Load() > before }, s.status)
}
