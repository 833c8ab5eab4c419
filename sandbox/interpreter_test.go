package sandbox

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// An agent may put anything where its program was. Nothing of it is waited for.
func TestInterpreter(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"script": {"#!/bin/sh -e\n", "/bin/sh"}, "spaces": {"#!  /usr/bin/env sh", "/usr/bin/env"}, "empty": {"", ""}, "none": {"#!\n/bin/sh", ""}, "binary": {"\x7fELF", ""},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := interpreterOf(path); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir, filepath.Join(dir, "nowhere"), "/dev/zero"} {
		if got := interpreterOf(path); got != "" {
			t.Errorf("%s: %q", path, got)
		}
	}
}
