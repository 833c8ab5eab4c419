package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

func TestEnded(t *testing.T) {
	for _, c := range []struct {
		run  Run
		want string
	}{
		{Run{}, " "},
		{Run{Said: "chatter"}, " "},
		{Run{Exit: adapter.Exit{Code: 3}}, "exit status 3 other"},
		{Run{Exit: adapter.Exit{Code: 3}, Said: "\nbad flag"}, "bad flag config"},
		{Run{Exit: adapter.Exit{Code: 3}, Said: "\nwarning\nError: bad flag\nusage: x"}, "Error: bad flag config"},
		{Run{Exit: adapter.Exit{Code: 3}, Said: "\nbad day", Events: true}, "bad day other"},
		{Run{Exit: adapter.Exit{Signal: 9}, Said: "x"}, "ended by signal 9 other"},
		{Run{Exit: adapter.Exit{Signal: 15, Reason: "timed out: timeoutSec is over"}}, "the run timed out: timeoutSec is over timeout"},
		{Run{Exit: adapter.Exit{Code: 0, Reason: "the agent was removed"}}, "the run was ended: the agent was removed other"},
	} {
		message, class := c.run.Ended()
		if got := fmt.Sprint(message, " ", class); got != c.want {
			t.Errorf("%+v: %s, want %s", c.run, got, c.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"5": "5 5", "1e3": "1000 1000", "2.5": "2 2.5", "-1": "0 0", "1e999": "0 0", "1e300": "1099511627776 1e+09", `"7"`: "0 0", "null": "0 0", "[]": "0 0", "0": "0 0",
	} {
		var v struct {
			C Count
			U USD
		}
		if !Decode([]byte(`{"C":`+text+`,"U":`+text+`}`), &v) || fmt.Sprint(v.C, " ", v.U) != want {
			t.Errorf("%s: %v %v, want %s", text, v.C, v.U, want)
		}
	}
}

// What has not the type that it should is left out, and nothing else.
func TestDecode(t *testing.T) {
	var v struct {
		A, B string
		L    []string
	}
	if !Decode([]byte(`{"A":7,"L":{"x":1},"B":"b"}`), &v) || v.A != "" || v.B != "b" || Decode([]byte(`{"A"`), &v) {
		t.Errorf("%+v", v)
	}
}

func TestTexts(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"", 10, ""}, {"\n \n one \ntwo", 10, "one"}, {"a\tb\x1b[31mc", 20, "a b [31mc"}, {"0123456789", 10, "0123456789"}, {"0123456789x", 10, "0123456..."},
		{"ééééé", 9, "ééé..."}, {"ééééé", 8, "éé..."}, {"\xff", 10, "\uFFFD"},
	} {
		if got := OneLine(c.in, c.n); got != c.want || len(got) > max(c.n, 3) || !utf8.ValidString(got) {
			t.Errorf("%q in %d: %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestSince(t *testing.T) {
	u := func(in, out, cached int64) adapter.Usage {
		return adapter.Usage{InputTokens: in, OutputTokens: out, CachedInputTokens: cached}
	}
	if got := Since(u(30, 20, 10), u(10, 10, 10)); got != u(20, 10, 0) {
		t.Error(got)
	}
	if got := Since(u(30, 20, 9), u(10, 10, 10)); got != u(30, 20, 9) {
		t.Errorf("of a session that counts from nothing: %v", got)
	}
}

func TestKeep(t *testing.T) {
	for _, c := range []struct {
		run  Run
		want string
	}{
		{Run{Session: "s1"}, "none"}, // nothing was said in it
		{Run{Session: "s1", Spoke: true}, "s1"},
		{Run{Spoke: true}, "none"},
		{Run{Carry: Carry{Resumed: "s0"}}, "s0"},
		{Run{Carry: Carry{Resumed: "s0"}, Session: "s1"}, "s1"},
		{Run{Session: strings.Repeat("x", 200), Spoke: true}, "none"},
	} {
		c.run.Carry.Fingerprint = "f"
		got, s := "none", c.run.Keep(State{CostUSD: 1})
		if s != nil {
			got = s.ID
		}
		if got != c.want || s != nil && Resume(s, "f") != s.ID || Resume(s, "g") != "" {
			t.Errorf("%+v: %s, want %s", c.run, got, c.want)
		}
	}
}

// A file that cannot be read now is not one that can, and one that changes is
// another, as far as we see.
func TestFingerprint(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "AGENTS.md")
	seen := map[string]string{}
	add := func(what string, c Common) {
		t.Helper()
		f := c.Fingerprint()
		if other, ok := seen[f]; ok {
			t.Errorf("%s is like %s", what, other)
		}
		if seen[f] = what; f != c.Fingerprint() {
			t.Errorf("%s: changes by itself", what)
		}
	}
	c := Common{Cwd: "/w", InstructionsFilePath: path}
	add("no file", c)
	for _, text := range []string{"", "a", "b", strings.Repeat("x", maxInstructions+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		add(fmt.Sprintf("%d bytes %.1s", len(text), text), c)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	add("a FIFO", c)
	add("no instructions", Common{Cwd: "/w"})
	add("another model", Common{Cwd: "/w", Model: "m"})
	add("another directory", Common{Cwd: "/v"})
}

func TestWatch(t *testing.T) {
	lines := []string{"", "  ", "hello", `{"a":1}`, `{"a":`, "null", "[1]", strings.Repeat("long", 1000), "\x1b[31mred"}
	var events []string
	r := Watch(&adapter.Observation{
		Carry: []byte("{"),
		Lines: func(yield func([]byte) bool) {
			for _, l := range lines {
				if !yield([]byte(l)) {
					return
				}
			}
		},
		Exit: func() adapter.Exit { return adapter.Exit{Code: 4} },
	}, func(_ *Run, line []byte) { events = append(events, string(line)) })
	if fmt.Sprint(events) != `[{"a":1}]` || r.Exit.Code != 4 || len(r.Said) > 4*maxError || !strings.HasSuffix(r.Said, "[31mred") {
		t.Errorf("%q %+v", events, r)
	}
}

func TestStateIsSmall(t *testing.T) {
	s := State{Fingerprint: (&Common{}).Fingerprint(), Usage: adapter.Usage{InputTokens: 1 << 40}}.Session("s")
	if len(s.State) > 200 || !json.Valid(s.State) {
		t.Errorf("%s", s.State)
	}
}
