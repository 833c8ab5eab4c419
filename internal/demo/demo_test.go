package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/internal/demo/agentline"
	"github.com/agent-launcher/agent-launcher/internal/testbin"
)

func TestMain(m *testing.M) { testbin.Main(m) }

func TestDemo(t *testing.T) {
	bin := testbin.Build(t)
	t.Setenv("TMPDIR", newTempDir(t))
	var out bytes.Buffer
	if err := show(t.Context(), bin.Dir, &printer{out: &out}); err != nil {
		failWithLog(t, err, &out)
	}
	if lines := strings.Count(out.String(), "\n"); lines > 25 {
		t.Errorf("%d lines are too many for a newcomer:\n%s", lines, &out)
	}
	for _, want := range []string{"first run", "version 2", "pinned", "0 copies", "all held"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("colours in a pipe")
	}
	nothingLeft(t)
}

// TestFailures takes one program away at a time: the demo must name it, clean
// up and not say that anything held.
func TestFailures(t *testing.T) {
	bin := testbin.Build(t)
	for name, say := range map[string]string{
		"agent-launcher": "cannot make a host key",
		"control-plane":  "cannot start control-plane",
		"demo/memscan":   "cannot scan",
	} {
		t.Run(name, func(t *testing.T) {
			partial := filepath.Join(t.TempDir(), "bin")
			t.Setenv("TMPDIR", newTempDir(t))
			if err := os.CopyFS(partial, os.DirFS(bin.Dir)); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(partial, name)); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			err := show(t.Context(), partial, &printer{out: &out})
			if err == nil || !strings.Contains(err.Error(), say) || strings.Contains(out.String(), "all held") {
				t.Errorf("%v\n%s", err, &out)
			}
			nothingLeft(t)
		})
	}
}

// newTempDir is short: it becomes part of a unix socket's path, 107 bytes at most.
func newTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func failWithLog(t *testing.T, err error, out *bytes.Buffer) {
	t.Helper()
	log := ""
	if logged := (*logError)(nil); errors.As(err, &logged) {
		log = logged.tail()
	}
	t.Fatalf("%v\n%s\n%s", err, out, log)
}

func nothingLeft(t *testing.T) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if pids, err := running(os.Getenv("TMPDIR")); err != nil || len(pids) > 0 {
		t.Errorf("still running: %v %v", pids, err)
	}
}

func TestInterrupted(t *testing.T) {
	bin := testbin.Build(t)
	t.Setenv("TMPDIR", newTempDir(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := show(ctx, bin.Dir, &printer{out: new(bytes.Buffer)}); err == nil {
		t.Error("an interrupted demo says that all held")
	}
	nothingLeft(t)
}

func TestVersionIsProvenByTheHash(t *testing.T) {
	s := newSecret("TOKEN")
	s.next()
	hash := func(value string) agentline.Line {
		sum := sha256.Sum256([]byte(value))
		return agentline.Line{SHA256: map[string]string{"TOKEN": hex.EncodeToString(sum[:])}}
	}
	for i, value := range s.values {
		if got, err := s.version(hash(value)); err != nil || got != i+1 {
			t.Errorf("value %d: version %d, %v", i+1, got, err)
		}
	}
	for _, line := range []agentline.Line{hash("another value"), {}} {
		if _, err := s.version(line); err == nil {
			t.Errorf("%v: accepted", line)
		}
	}
}
