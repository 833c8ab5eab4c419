package trust

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string) string // returns what to check
		says    string                                // empty: trusted
	}{
		{"our own file", func(t *testing.T, dir string) string { return file(t, dir, "f", 0o644) }, ""},
		{"group writable", func(t *testing.T, dir string) string { return file(t, dir, "f", 0o664) }, "written by others"},
		{"world writable", func(t *testing.T, dir string) string { return file(t, dir, "f", 0o602) }, "written by others"},
		{"in a writable directory", func(t *testing.T, dir string) string {
			return file(t, mkdir(t, filepath.Join(dir, "d"), 0o777), "f", 0o644)
		}, "written by others"},
		{"below a writable directory", func(t *testing.T, dir string) string {
			mkdir(t, filepath.Join(dir, "d"), 0o777)
			return file(t, mkdir(t, filepath.Join(dir, "d", "e"), 0o755), "f", 0o644)
		}, "written by others"},
		{"a link from a good place to a bad one", func(t *testing.T, dir string) string {
			return link(t, file(t, mkdir(t, filepath.Join(dir, "d"), 0o777), "f", 0o644), filepath.Join(dir, "l"))
		}, "written by others"},
		{"a link from a bad place to a good one", func(t *testing.T, dir string) string {
			return link(t, file(t, dir, "f", 0o644), filepath.Join(mkdir(t, filepath.Join(dir, "d"), 0o777), "l"))
		}, "written by others"},
		{"a link in the middle that lies in a bad place", func(t *testing.T, dir string) string {
			good := mkdir(t, filepath.Join(dir, "good"), 0o755)
			file(t, good, "f", 0o644)
			bad := mkdir(t, filepath.Join(dir, "bad"), 0o777)
			hop := link(t, good, filepath.Join(bad, "hop"))
			return filepath.Join(link(t, hop, filepath.Join(dir, "first")), "f")
		}, "written by others"},
		{"another's file", func(t *testing.T, dir string) string {
			path := file(t, dir, "f", 0o644)
			needRoot(t)
			must(t, os.Chown(path, 54321, 0))
			return path
		}, "belongs to uid 54321"},
		{"in another's directory", func(t *testing.T, dir string) string {
			needRoot(t)
			d := mkdir(t, filepath.Join(dir, "d"), 0o755)
			path := file(t, d, "f", 0o644)
			must(t, os.Chown(d, 54321, 0))
			return path
		}, "belongs to uid 54321"},
		{"in a sticky directory of ours, not root's", func(t *testing.T, dir string) string {
			if os.Geteuid() == 0 {
				return file(t, dir, "f", 0o644) // root's is accepted: every test lies in /tmp
			}
			d := mkdir(t, filepath.Join(dir, "d"), 0o777|os.ModeSticky)
			return file(t, d, "f", 0o666)
		}, map[bool]string{true: "", false: "written by others"}[os.Geteuid() == 0]},
		{"missing", func(t *testing.T, dir string) string { return filepath.Join(dir, "nothing") }, "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Check(c.prepare(t, t.TempDir()))
			if c.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want %q", err, c.says)
			}
			var e *Error
			if c.says != "no such file" && (!errors.As(err, &e) || e.Hint() == "") {
				t.Errorf("no hint: %v", err)
			}
		})
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("giving a file away needs root")
	}
}

func file(t *testing.T, dir, name string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Chmod(path, mode))
	return path
}

func mkdir(t *testing.T, path string, mode os.FileMode) string {
	t.Helper()
	must(t, os.Mkdir(path, 0o700))
	must(t, os.Chmod(path, mode))
	return path
}

func link(t *testing.T, to, at string) string {
	t.Helper()
	must(t, os.Symlink(to, at))
	return at
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
