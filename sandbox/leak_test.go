package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// TestFailedStartsLeaveNothing counts open files and children after each way
// in which a launch can fail.
func TestFailedStartsLeaveNothing(t *testing.T) {
	h := newHost(t)
	spec := command("/bin/true")
	spec.Stdin = []byte("stdin")
	bundle := h.seal(t, map[string]string{"TOKEN": "value"})
	expired := h.seal(t, map[string]string{"TOKEN": "value"})
	expired.Meta.ExpiresAt = 1
	text := filepath.Join(h.dir, "text")
	script(t, text, 0o755, "no program")
	for name, test := range map[string]struct {
		stage, key string
		bundle     *protocol.Bundle
	}{
		"no key":          {h.stage, "/nonexistent", bundle},
		"no stage":        {"/nonexistent", h.key, bundle},
		"stage is text":   {text, h.key, bundle},
		"stage dies":      {"/bin/false", h.key, bundle},
		"bundle expired":  {h.stage, h.key, expired},
		"key is no key":   {h.stage, text, bundle},
		"nothing is lost": {h.stage, h.key, bundle},
	} {
		t.Run(name, func(t *testing.T) {
			before := openFiles(t)
			for range 3 {
				err := startAndEnd(sandbox.New(test.stage, test.key), spec, test.bundle)
				if (err == nil) != (name == "nothing is lost") {
					t.Errorf("%v", err)
				}
			}
			noneLeft(t, before)
		})
	}
}

func startAndEnd(s *sandbox.Sandbox, spec sandbox.LaunchSpec, bundle *protocol.Bundle) error {
	p, err := s.Start(spec, bundle, unconfined())
	if err != nil {
		return err
	}
	if err := p.Release(); err != nil {
		return err
	}
	p.Cancel()
	return nil
}

// TestOutOfDescriptors lets a launch fail at every file that it opens.
func TestOutOfDescriptors(t *testing.T) {
	h := newHost(t)
	spec := command("/bin/true")
	spec.Stdin = []byte("stdin")
	bundle := h.seal(t, map[string]string{"TOKEN": "value"})
	h.must(t, spec, bundle)
	before := openFiles(t)
	var limit unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			t.Error(err)
		}
	}()
	failures, free := 0, lowestFree(t)
	for extra := range uint64(32) {
		low := unix.Rlimit{Cur: uint64(free) + extra, Max: limit.Max}
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &low, nil); err != nil {
			t.Fatal(err)
		}
		err := startAndEnd(h.Sandbox, spec, bundle)
		if err == nil {
			break
		}
		failures++
		if !errors.Is(err, unix.EMFILE) {
			t.Errorf("with %d descriptors to spare: %v", extra, err)
		}
	}
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	if failures < 8 || failures > 20 {
		t.Errorf("%d ways to run out of descriptors", failures)
	}
	noneLeft(t, before)
}

func lowestFree(t *testing.T) int {
	t.Helper()
	f, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return int(f.Fd())
}
