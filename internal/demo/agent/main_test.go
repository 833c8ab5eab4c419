package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/internal/demo/agentline"
)

func TestRunPrintsNoValue(t *testing.T) {
	env := map[string]string{"PAPERCLIP_RUN_ID": "run-1", "TOKEN": "abc", "EMPTY": "", "OTHER": "not asked for"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	started := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	var out bytes.Buffer
	if err := run(started, []string{"TOKEN", "EMPTY", "GONE"}, lookup, &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "abc\"") || strings.Contains(out.String(), "OTHER") {
		t.Errorf("says too much: %s", &out)
	}
	lines := agentline.Parse(out.Bytes())
	if len(lines) != 1 {
		t.Fatalf("%d lines in %s", len(lines), &out)
	}
	line := lines[0]
	// FIPS 180-2, appendix B.1, and the digest of nothing.
	want := map[string]string{
		"TOKEN": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
		"EMPTY": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	}
	for name, sum := range want {
		if line.SHA256[name] != sum {
			t.Errorf("%s: %s", name, line.SHA256[name])
		}
	}
	if len(line.SHA256) != 2 || len(line.Missing) != 1 || line.Missing[0] != "GONE" || line.RunID != "run-1" || !line.Started.Equal(started) {
		t.Errorf("%+v", line)
	}
}

func TestParseSkipsWhatIsNoLine(t *testing.T) {
	good := `{"runId":"a","sha256":{}}`
	for text, want := range map[string]int{
		"":                               0,
		"hello\n{}\nnull\n[1]\n":         0,
		good + "\n" + good + "\n":        2,
		"# header\n" + good + "\n":       1,
		good + "\n" + good[:len(good)-2]: 1,
	} {
		if got := len(agentline.Parse([]byte(text))); got != want {
			t.Errorf("%q: %d lines, want %d", text, got, want)
		}
	}
}
