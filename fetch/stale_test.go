package fetch

import (
	"net/http"
	"testing"
	"time"
)

// The last bundle bridges an outage for as long as the agent's file says, and
// nothing else: not a refusal, not an agent without a grace, not a bundle of
// before.
func TestStaleGrace(t *testing.T) {
	down, refused := respond(http.StatusInternalServerError, ""), respond(http.StatusForbidden, "")
	for _, c := range []struct {
		name   string
		attack attack
		grace  time.Duration
		age    time.Duration // of what is kept
		asked  bool          // before the outage
		served bool
	}{
		{"bridges", down, time.Hour, 59 * time.Minute, true, true},
		{"too old", down, time.Hour, 61 * time.Minute, true, false},
		{"no grace", down, 0, 0, true, false},
		{"never had", down, time.Hour, 0, false, false},
		{"host refused", refused, time.Hour, 0, true, false},
		{"garbage", page("garbage"), time.Hour, 0, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			a := s.agent("a", map[string]string{"TOKEN": s.CreateSecret(s.company, "TOKEN", "value")})
			if a.StaleGrace = c.grace; c.asked {
				first, err := s.source.Resolve(t.Context(), a)
				if err != nil || first.Stale {
					t.Fatal(first, err)
				}
				s.source.mu.Lock()
				kept := s.source.cache[a.ID]
				kept.Confirmed = kept.Confirmed.Add(-c.age)
				s.source.cache[a.ID] = kept
				s.source.mu.Unlock()
			}
			s.turn(c.attack)
			got := s.begin(t.Context(), a)
			if c.served {
				if r := <-got; r.err != nil || r.bundle == nil {
					t.Fatal(r.err)
				}
				s.turn(nil)
				if fresh, err := s.source.Resolve(t.Context(), a); err != nil || fresh.Stale || time.Since(fresh.Confirmed) > time.Minute {
					t.Errorf("after the outage: %+v, %v", fresh, err)
				}
				return
			}
			eventually(t, func() bool { return s.source.Status().Attempts >= 3 }, s.status)
			if len(got) != 0 {
				t.Error("served")
			}
			s.turn(nil)
			if r := <-got; r.err != nil {
				t.Error(r.err)
			}
		})
	}
}
