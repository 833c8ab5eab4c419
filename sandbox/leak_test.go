package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// TestFailedStartsLeaveNothing counts the keeper's and our own open files and
// children after each way in which a launch can fail.
func TestFailedStartsLeaveNothing(t *testing.T) {
	h := newHost(t)
	spec := command("/bin/true")
	spec.Stdin = []byte("stdin")
	bundle := h.seal(t, map[string]string{"TOKEN": "value"})
	expired := h.seal(t, map[string]string{"TOKEN": "value"})
	expired.Meta.ExpiresAt = 1
	text := filepath.Join(h.dir, "text")
	script(t, text, 0o755, "no program")
	missing := spec
	missing.Argv = []string{"/nonexistent"}
	for name, test := range map[string]struct {
		spec   sandbox.LaunchSpec
		key    string
		bundle *protocol.Bundle
	}{
		"bundle expired":  {spec, h.key, expired},
		"key is no key":   {spec, text, bundle},
		"no program":      {missing, h.key, bundle},
		"nothing is lost": {spec, h.key, bundle},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeeper(t, h.stage, test.key)
			_ = startAndEnd(k, test.spec, test.bundle) // whatever is opened once is open now
			before, keepers := openFiles(t, os.Getpid()), keeperFiles(t, k)
			for range 3 {
				err := startAndEnd(k, test.spec, test.bundle)
				if (err == nil) != (name == "nothing is lost") {
					t.Errorf("%v", err)
				}
			}
			noneLeft(t, k, before, keepers)
		})
	}
}

// keeperFiles is how many files a keeper has open. It is non-dumpable: only
// root may look.
func keeperFiles(t *testing.T, k *sandbox.Keeper) int {
	if os.Geteuid() != 0 {
		return 0
	}
	return openFiles(t, k.PID())
}

func startAndEnd(k *sandbox.Keeper, spec sandbox.LaunchSpec, bundle *protocol.Bundle) error {
	p, err := startOn(k, spec, bundle, unconfined())
	if err != nil {
		return err
	}
	defer p.Output.Close()
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
	before, keepers := openFiles(t, os.Getpid()), keeperFiles(t, h.Keeper)
	var limit unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			t.Error(err)
		}
	}()
	// Nobody else may free a descriptor meanwhile: older tests' files, at a collection.
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	failures, free := 0, lowestFree(t)
	for extra := range uint64(32) {
		low := unix.Rlimit{Cur: uint64(free) + extra, Max: limit.Max}
		if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &low, nil); err != nil {
			t.Fatal(err)
		}
		err := startAndEnd(h.Keeper, spec, bundle)
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
	noneLeft(t, h.Keeper, before, keepers)
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
