package plugins

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// observed lets the plugin called obey observe output.
func observed(t *testing.T, h *Host, do string, outcome adapter.Outcome, output []byte, progress func(string)) (*adapter.Outcome, error) {
	t.Helper()
	carry, err := json.Marshal(map[string]any{"do": do, "outcome": outcome})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o, err := h.Observe(ctx, "obey", &adapter.Observation{RunID: "run", Carry: carry}, progress)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	_, _ = o.Write(output) // a plugin that listens no more says why below
	return o.Finish(adapter.Exit{Code: 5})
}

// Whatever a plugin makes of a run, it is an outcome within the rules or one
// error, and its neighbours go on.
func TestObserveHostile(t *testing.T) {
	h := newHost(t, func(o *Options) { o.CallTimeout = 5 * time.Second })
	session := func(id string, state int) adapter.Outcome {
		return adapter.Outcome{Session: &adapter.Session{ID: id, State: make([]byte, state)}}
	}
	for _, c := range []struct {
		name, do string
		outcome  adapter.Outcome
		says     string // in the error; empty: there is none
	}{
		{"fine", "", session("abc", 10), ""},
		{"early", "early", adapter.Outcome{Summary: "enough"}, ""},
		{"long id", "", session(strings.Repeat("x", adapter.MaxSessionID+1), 0), "session.id"},
		{"id of two lines", "", session("a\nb", 0), "session.id"},
		{"large state", "", session("a", adapter.MaxState+1), "session.state"},
		{"negative usage", "", adapter.Outcome{Usage: adapter.Usage{InputTokens: -1}}, "usage: is negative"},
		{"negative cost", "", adapter.Outcome{CostUSD: -0.1}, "cost_usd"},
		{"made-up class", "", adapter.Outcome{Error: "x", Class: "evil"}, "error_class"},
		{"class of nothing", "", adapter.Outcome{Class: adapter.ErrorAuth}, "error_class"},
		{"panic", "panic", adapter.Outcome{}, "panicked"},
		{"crash", "crash", adapter.Outcome{}, "failed"},
		{"hang", "hang", adapter.Outcome{}, "in time"},
		{"fine again", "", adapter.Outcome{Summary: "s"}, ""},
	} {
		out, err := observed(t, h, c.do, c.outcome, []byte("one\ntwo\nthree"), func(string) {})
		var e *Error
		switch {
		case c.says == "" && (err != nil || out.Summary != c.outcome.Summary):
			t.Errorf("%s: %v, %+v", c.name, err, out)
		case c.says != "" && (!errors.As(err, &e) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want %s", c.name, err, c.says)
		}
	}
	for _, cost := range []float64{math.NaN(), math.Inf(1)} { // which JSON cannot carry
		if _, err := readOutcome("x", &adapterpb.Outcome{CostUsd: cost}); err == nil {
			t.Errorf("%v is no cost", cost)
		}
	}
}

// What is printed arrives as it was printed, however it is cut; a line without
// an end is left out.
func TestObserveLines(t *testing.T) {
	h := newHost(t)
	long := bytes.Repeat([]byte("x"), adapter.MaxLine)
	for name, c := range map[string]struct {
		output         []byte
		lines, longest int64
	}{
		"none":         {nil, 0, 0},
		"no end":       {[]byte("a\nbc"), 2, 2},
		"empty ones":   {[]byte("\n\n\n"), 3, 0},
		"as long":      {append(long, '\n'), 1, adapter.MaxLine},
		"too long":     {append(append(long[:len(long):len(long)], "x\nafter\n"...), "x"...), 2, 5},
		"many":         {bytes.Repeat([]byte("line\n"), 300_000), 300_000, 4},
		"no UTF-8":     {[]byte("\xff\xfe\x00\n"), 1, 3},
		"far too long": {append(bytes.Repeat(long, 3), "\nab"...), 1, 2},
	} {
		out, err := observed(t, h, "count", adapter.Outcome{}, c.output, func(string) {})
		if err != nil || out.Usage.OutputTokens != c.lines || out.Usage.InputTokens != c.longest || out.Usage.CachedInputTokens != 5 {
			t.Errorf("%s: %+v, %v; want %d lines of at most %d", name, out, err, c.lines, c.longest)
		}
	}
}

// Progress is one short line, however much a plugin says.
func TestObserveProgress(t *testing.T) {
	h := newHost(t)
	n, worst := 0, ""
	out, err := observed(t, h, "chatter", adapter.Outcome{Summary: "done"}, nil, func(text string) {
		if n++; len(text) > len(worst) {
			worst = text
		}
	})
	if err != nil || out.Summary != "done" || n == 0 || len(worst) > maxProgress+10 || strings.ContainsAny(worst, "\x1b\n") {
		t.Errorf("%v, %+v, %d lines, the longest %q", err, out, n, worst)
	}
}

// A plugin that has no Observe is no error of the run.
func TestObserveNothing(t *testing.T) {
	h := newHost(t)
	o, err := h.Observe(context.Background(), "process", &adapter.Observation{}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	for err == nil { // until it is refused
		_, err = o.Write([]byte("output\n"))
	}
	if _, err := o.Finish(adapter.Exit{}); !errors.Is(err, ErrNoObserver) {
		t.Error(err)
	}
}
