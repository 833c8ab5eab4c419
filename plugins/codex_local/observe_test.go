package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// TestProgress is of recordings of the real tool, and of kinds of items that the
// stub brings about in none.
func TestProgress(t *testing.T) {
	for name, want := range map[string][]string{
		"first":       {"STUB turns=1"},
		"tool":        {"runs /bin/bash -lc 'echo tool'", "STUB turns=1"},
		"other_model": {"STUB turns=1"},
		"refused":     {"Reconnecting... waiting for network (Connection failed: error sending request)"},
		"":            {"uses search", "searches go", "changes files"},
	} {
		data := []byte(`{"type":"item.started","item":{"type":"mcp_tool_call","tool":"search"}}
{"type":"item.started","item":{"type":"web_search","query":"go\nlang"}}
{"type":"item.started","item":{"type":"file_change"}}
{"type":"item.started","item":{"type":"todo_list"}}
{"type":"item.started","item":7}
{"type":"of a later version","item":{"type":"file_change"}}`)
		if name != "" {
			var err error
			if data, err = os.ReadFile(filepath.Join("testdata", name+".out")); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		_, err := codex{}.Observe(context.Background(), &adapter.Observation{
			Lines: func(yield func([]byte) bool) {
				for line := range strings.Lines(string(data)) {
					if !yield([]byte(line)) {
						return
					}
				}
			},
			Exit:     func() adapter.Exit { return adapter.Exit{} },
			Progress: func(text string) { got = append(got, text) },
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q %v, want %q", name, got, err, want)
		}
	}
}

func TestClassOf(t *testing.T) {
	for text, want := range map[string]adapter.ErrorClass{
		"unexpected status 403 Forbidden: x":              adapter.ErrorAuth,
		"exceeded retry limit, last status: 502 Bad":      adapter.ErrorOverloaded,
		"unexpected status 4011":                          adapter.ErrorOther,
		"You've hit your usage limit. Upgrade":            adapter.ErrorLimit,
		"Quota exceeded. Check your plan":                 adapter.ErrorLimit,
		"the model's context window exceeded":             adapter.ErrorSession,
		"Reconnecting... (error sending request for url)": adapter.ErrorNetwork,
		"":  adapter.ErrorOther,
		"?": adapter.ErrorOther,
	} {
		if got := classOf(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
