package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An agent may put anything where its program was. Nothing of it is waited for.
func TestInterpreter(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct{ text, want string }{
		"script": {"#!/bin/sh -e\n", "/bin/sh"}, "empty": {"", ""}, "none": {"#!\n/bin/sh", ""}, "binary": {"\x7fELF", ""},
		"env": {"#!  /usr/bin/env sh", "/usr/bin/env /a/sh /b/sh"}, "options": {"#!/bin/env -S A=1 -i node --x\n", "/bin/env /a/node /b/node"}, "env alone": {"#!/bin/env -S\n", "/bin/env"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(interpretersOf(path, "/a:relative:/b"), " "); got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{fifo, dir, filepath.Join(dir, "nowhere"), "/dev/zero"} {
		if got := interpretersOf(path, "/a"); got != nil {
			t.Errorf("%s: %q", path, got)
		}
	}
}
