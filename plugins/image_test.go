package plugins

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// ownDir returns a directory with copies of some plugins, by new names.
func ownDir(t testing.TB, names map[string]string) string {
	t.Helper()
	dir := openDir(t)
	for name, from := range names {
		put(t, filepath.Join(dir, name), program(t, from))
	}
	return dir
}

func program(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(pluginsDir(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// put replaces a file as a package manager does.
func put(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", data, 0o755), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

func TestPins(t *testing.T) {
	dir := ownDir(t, map[string]string{"process": "process", "script": "text"})
	script := []byte("#!/bin/sh\nexit 4\n")
	put(t, filepath.Join(dir, "script"), script)
	put(t, filepath.Join(dir, "loose"), script)
	put(t, filepath.Join(dir, "empty"), nil)
	right, wrong := sha256.Sum256(program(t, "process")), [32]byte{1}
	for _, c := range []struct {
		name string
		pin  [32]byte
		says []string // of the error, then of its hint; none: it starts
	}{
		{"process", right, nil},
		{"process", wrong, []string{"adapter process: its file is not the pinned one: want SHA-256 0100", ", got " + hexOf(right), "plugins.process.sha256"}},
		{"missing", right, []string{"adapter missing: no such plugin", "", "put an executable named missing there"}},
		{"script", sha256.Sum256(script), []string{"cannot be pinned", "", "remove plugins.script"}},
		{"script", wrong, []string{"not the pinned one", "", "plugins.script.sha256"}},
		{"empty", sha256.Sum256(nil), []string{"neither a program of this machine", "", "built for this machine"}},
		{"loose", [32]byte{}, []string{"it ended (exit status 4)", "", ""}}, // has no pin
	} {
		h := newHost(t, func(o *Options) {
			o.Dir = dir
			if c.name != "loose" {
				o.Pins = map[string][32]byte{c.name: c.pin}
			}
		})
		_, err := h.Describe(context.Background(), c.name)
		var e *Error
		if c.says == nil {
			if verified := h.Verify(c.name); err != nil || verified != nil {
				t.Errorf("%s: %v, %v", c.name, err, verified)
			}
			continue
		}
		if !errors.As(err, &e) || !strings.Contains(e.Error(), c.says[0]) || !strings.Contains(e.Error(), c.says[1]) || !strings.Contains(e.Hint, c.says[2]) {
			t.Errorf("%s: %v, hint %q", c.name, err, e.Hint)
		}
		if starts := c.name == "empty" || c.name == "loose"; (h.Verify(c.name) == nil) != starts {
			t.Errorf("%s: Verify does not agree", c.name)
		}
	}
}

// TestSwapAfterTheHash: whatever becomes of the file once it was read, what
// was read is what runs.
func TestSwapAfterTheHash(t *testing.T) {
	for name, swap := range map[string]func(path string) error{
		"written over": func(path string) error { return os.WriteFile(path, []byte("#!/bin/sh\nexit 66\n"), 0o755) },
		"replaced":     func(path string) error { put(t, path, program(t, "exit")); return nil },
		"removed":      os.Remove,
		"a directory":  func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o755)) },
	} {
		t.Run(name, func(t *testing.T) {
			want := sha256.Sum256(program(t, "obey"))
			h := newHost(t, func(o *Options) {
				o.Dir = ownDir(t, map[string]string{"obey": "obey"})
				o.Pins = map[string][32]byte{"obey": want}
			})
			img, err := h.load("obey")
			if err != nil {
				t.Fatal(err)
			}
			defer img.close()
			if err := swap(img.path); err != nil {
				t.Fatal(err)
			}
			inst := newInstance(img, &h.opts)
			defer inst.close()
			ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
			defer cancel()
			if err := inst.connect(ctx); err != nil {
				t.Fatal(err)
			}
			runs, err := os.ReadFile("/proc/" + strconv.Itoa(inst.proc.pid()) + "/exe")
			if err != nil || sha256.Sum256(runs) != want {
				t.Errorf("another program runs: %d bytes, %v", len(runs), err)
			}
		})
	}
}

// TestImageIsSealed: not even a process of the daemon's own uid, which can open
// what a plugin runs, can change it.
func TestImageIsSealed(t *testing.T) {
	h := newHost(t)
	pid := pidOf(t, h, "pid")
	f, err := os.OpenFile("/proc/"+strconv.Itoa(pid)+"/exe", os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{0}, 0)
		_ = f.Close()
	}
	if err == nil {
		t.Error("a running plugin was written to")
	}
	if left := memfds(t); left != 0 {
		t.Errorf("the daemon still holds %d images", left)
	}
}

func memfds(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(target, "/memfd:") {
			n++
		}
	}
	return n
}
