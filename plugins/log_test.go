package plugins

import (
	"strings"
	"testing"
	"time"
)

// A plugin that prints without end fills no log; what was dropped is told.
func TestLogIsBounded(t *testing.T) {
	logged, dropped := 0, 0
	log := bounded(func(e Entry) {
		if logged++; strings.Contains(e.Message, "were dropped") {
			dropped++
		}
	})
	printed := 0
	for began := time.Now(); dropped < 2; printed++ {
		if time.Since(began) > 20*time.Second {
			t.Fatal("nobody tells")
		}
		log(Entry{Plugin: "p", Message: "x"})
	}
	if logged > 4*(maxRate+1) || printed < 10*maxRate {
		t.Errorf("%d of %d lines", logged, printed)
	}
}
