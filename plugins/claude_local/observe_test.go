package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/internal/cli"
)

// watch has claude observe lines of a run that resumed a session which had cost
// half a dollar.
func watch(t *testing.T, exit adapter.Exit, lines ...string) (adapter.Outcome, []string) {
	t.Helper()
	state, err := json.Marshal(cli.State{Fingerprint: "f", CostUSD: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	var progress []string
	o, err := claude{}.Observe(context.Background(), &adapter.Observation{
		Session: &adapter.Session{ID: "s1", State: state},
		Carry:   cli.Carry{Fingerprint: "f", Resumed: "s1"}.Bytes(),
		Lines: func(yield func([]byte) bool) {
			_ = slices.ContainsFunc(lines, func(l string) bool { return !yield([]byte(l)) })
		},
		Exit:     func() adapter.Exit { return exit },
		Progress: func(text string) { progress = append(progress, text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return o, progress
}

func TestOutcome(t *testing.T) {
	for _, c := range []struct {
		line string
		exit int
		want string // cost, error, class, session and its state
	}{
		{`{"type":"result","session_id":"s1","total_cost_usd":0.75,"result":"x"}`, 0, `0.25|||s1 {"fingerprint":"f","usage":{"InputTokens":0,"OutputTokens":0,"CachedInputTokens":0},"costUsd":0.75}`},
		{`{"type":"result","session_id":"s1","total_cost_usd":0.25,"result":"x"}`, 0, `0.25|||s1 {"fingerprint":"f","usage":{"InputTokens":0,"OutputTokens":0,"CachedInputTokens":0},"costUsd":0.25}`},
		{`{"type":"result","session_id":"s2","total_cost_usd":2,"model_usage_since_last_result":{"a":{"costUSD":0.5},"b":{"costUSD":1e999}}}`, 0, `0.5|||s2 {"fingerprint":"f","usage":{"InputTokens":0,"OutputTokens":0,"CachedInputTokens":0},"costUsd":2}`},
		{`{"type":"result","is_error":true,"result":"Prompt is too long"}`, 1, `0|Prompt is too long|session|none`},
		{`{"type":"result","is_error":true,"subtype":"error_during_execution","errors":["","two\nlines"]}`, 0, `0|two|other|s1 {"fingerprint":"f","usage":{"InputTokens":0,"OutputTokens":0,"CachedInputTokens":0},"costUsd":0}`},
		{`{"type":"result","is_error":true,"terminal_reason":"odd"}`, 0, `0|claude failed: odd|other|s1 {"fingerprint":"f","usage":{"InputTokens":0,"OutputTokens":0,"CachedInputTokens":0},"costUsd":0}`},
		{`{"type":"result","is_error":true,"api_error_status":400,"result":"bad"}`, 1, `0|bad|other|s1 {"fingerprint":"f","usage":{"InputTokens":0,"OutputTokens":0,"CachedInputTokens":0},"costUsd":0}`},
		{`{"type":"result","session_id":"--help","result":"x"}`, 0, `0|||none`},
		{`{"type":"result","result":"No conversation found"}`, 0, `0|||s1 {"fingerprint":"f","usage":{"InputTokens":0,"OutputTokens":0,"CachedInputTokens":0},"costUsd":0}`},
	} {
		o, _ := watch(t, adapter.Exit{Code: c.exit}, c.line)
		session := "none"
		if o.Session != nil {
			session = o.Session.ID + " " + string(o.Session.State)
		}
		if got := fmt.Sprint(o.CostUSD, "|", o.Error, "|", o.Class, "|", session); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.line, got, c.want)
		}
	}
}

func TestSummaryIsClipped(t *testing.T) {
	o, _ := watch(t, adapter.Exit{}, `{"type":"result","result":"`+strings.Repeat("é", 5000)+`"}`)
	if len(o.Summary) > cli.MaxSummary || !strings.HasSuffix(o.Summary, "é...") {
		t.Errorf("%d bytes: %s", len(o.Summary), o.Summary)
	}
}

// TestProgress is of recordings of the real tool.
func TestProgress(t *testing.T) {
	for name, want := range map[string][]string{
		"first":      {"STUB turns=1"},
		"max_turns":  {"Bash: Says tool", "Bash: Says tool"},
		"status_429": {"retries after rate_limit (status 429)", "API Error: Request rejected (429) · the stub answers 429"},
		"as_root":    nil,
	} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".out"))
		if err != nil {
			t.Fatal(err)
		}
		if _, got := watch(t, adapter.Exit{}, strings.Split(string(data), "\n")...); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
