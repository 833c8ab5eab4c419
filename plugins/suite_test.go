package plugins

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// answer makes the configuration with which obey answers with p.
func answer(t *testing.T, p adapter.Plan) string {
	t.Helper()
	config, err := json.Marshal(map[string]any{"do": "answer", "plan": p})
	if err != nil {
		t.Fatal(err)
	}
	return string(config)
}

// TestHostileSuite: whatever a plugin does to a call, that call alone fails,
// its neighbour plans, and the daemon's memory stays small.
//
// Elsewhere: what does not start (TestPluginsThatDoNotStart), versions that are
// swapped in (TestSwapAfterTheHash, TestBrokenVersion), children that outlive it
// (TestCloseEndsEverything), go-plugin's broker (TestNoBroker), what a plugin may
// touch (TestHostilePlugin of internal/e2e).
func TestHostileSuite(t *testing.T) {
	h := newHost(t)
	tight := func(p adapter.Plan) string { p.Dir = "/"; return answer(t, p) }
	for _, c := range []struct {
		name, plugin, config string
		short                bool // it has half a second, else all it needs
		kind                 Kind // of the error; empty: the plan is taken as it is
		says                 string
	}{
		{"template in argv", "obey", tight(adapter.Plan{Argv: []string{"x", "${secret:TOKEN}", "$TOKEN"}}), false, "", "x ${secret:TOKEN} $TOKEN"},
		{"own value of a secret", "obey", tight(adapter.Plan{Argv: []string{"x"}, Env: map[string]string{"TOKEN": "${secret:OTHER}"}}), false, KindAnswer, "name of a secret"},
		{"the run's key", "obey", tight(adapter.Plan{Argv: []string{"x"}, Env: map[string]string{"PAPERCLIP_API_KEY": "x"}}), false, KindAnswer, "reserved"},
		{"preload", "obey", tight(adapter.Plan{Argv: []string{"x"}, Env: map[string]string{"LD_PRELOAD": "/tmp/x.so"}}), false, KindAnswer, "steers a loader"},
		{"100 MB by the SDK", "obey", `{"do":"big"}`, false, KindAnswer, "above 4194304 bytes"},
		{"100 MB", "big", `{}`, false, KindAnswer, "above 4194304 bytes"},
		{"small strings", "obey", tight(adapter.Plan{Argv: make([]string, 600_000)}), false, KindAnswer, "limit 4194304"},
		{"panic", "obey", `{"do":"panic"}`, false, KindCall, "panicked"},
		{"hang", "obey", `{"do":"hang"}`, true, KindCall, "not answered in time"},
		{"crash", "obey", `{"do":"crash"}`, false, KindCall, "ended (exit status 7) during Plan"},
		{"crash again", "obey", `{"do":"crash"}`, false, KindCall, "ended (exit status 7) during Plan"},
		{"crash and again", "obey", `{"do":"crash"}`, false, KindCall, "ended (exit status 7) during Plan"},
		{"problems with control characters", "obey", `{"do":"problems"}`, false, KindConfig, "is missing"},
		{"stop", "obey", `{"do":"stop"}`, true, KindCall, "not answered in time"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		if c.short {
			ctx, cancel = context.WithTimeout(ctx, 500*time.Millisecond)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		plan, err := h.Plan(ctx, c.plugin, adapter.PlanRequest{Config: json.RawMessage(c.config), SecretNames: []string{"TOKEN"}})
		runtime.ReadMemStats(&after)
		cancel()
		var e *Error
		switch {
		case c.kind == "" && (err != nil || strings.Join(plan.Argv, " ") != c.says):
			t.Errorf("%s: %+v %v", c.name, plan, err)
		case c.kind != "" && (!errors.As(err, &e) || e.Kind != c.kind || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v", c.name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s: the daemon took %d MB", c.name, n>>20)
		}
		if _, err := h.Plan(context.Background(), "process", adapter.PlanRequest{Config: json.RawMessage(`{"command":"x","cwd":"/"}`)}); err != nil {
			t.Errorf("%s: its neighbour: %v", c.name, err)
		}
	}
	eventually(t, "the stopped plugin is ended", func() bool { return h.PIDs()["obey"] == 0 })
	child := pidOf(t, h, "fork")
	if _, err := h.Plan(context.Background(), "obey", do("crash")); err == nil {
		t.Error("no crash")
	}
	eventually(t, "the child of a plugin that crashed is gone", func() bool { return gone(child) })
}
