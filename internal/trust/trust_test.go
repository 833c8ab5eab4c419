package trust

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const stranger = 54321 // a uid that is neither root nor ours

// Each case makes a tree in a fresh directory and returns what to check.
func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, dir string) string
		says    string // empty: trusted
		where   string // what the message must blame, below the directory
	}{
		{"our own file", func(t *testing.T, dir string) string { return file(t, dir, "f", 0o644) }, "", ""},
		{"a directory", func(t *testing.T, dir string) string { return mkdir(t, 0o755, dir, "d") }, "", ""},
		{"group writable", func(t *testing.T, dir string) string { return file(t, dir, "f", 0o664) }, "mode 0664", "f"},
		{"world writable", func(t *testing.T, dir string) string { return file(t, dir, "f", 0o602) }, "mode 0602", "f"},
		{"in a group writable directory", func(t *testing.T, dir string) string {
			return file(t, mkdir(t, 0o775, dir, "d"), "f", 0o644)
		}, "mode 0775", "d"},
		{"below a writable directory", func(t *testing.T, dir string) string {
			mkdir(t, 0o777, dir, "d")
			return file(t, mkdir(t, 0o755, dir, "d", "e"), "f", 0o644)
		}, "mode 0777", "d"},
		{"a link from a good place to a good one", func(t *testing.T, dir string) string {
			return link(t, file(t, mkdir(t, 0o755, dir, "d"), "f", 0o644), dir, "l")
		}, "", ""},
		{"a relative link", func(t *testing.T, dir string) string {
			file(t, mkdir(t, 0o755, dir, "d"), "f", 0o644)
			return link(t, "../d/./f", mkdir(t, 0o755, dir, "e"), "l")
		}, "", ""},
		{"a link from a good place to a bad one", func(t *testing.T, dir string) string {
			return link(t, file(t, mkdir(t, 0o777, dir, "d"), "f", 0o644), dir, "l")
		}, "mode 0777", "d"},
		{"a link from a bad place to a good one", func(t *testing.T, dir string) string {
			return link(t, file(t, dir, "f", 0o644), mkdir(t, 0o777, dir, "d"), "l")
		}, "mode 0777", "d"},
		{"a link in the middle that lies in a bad place", func(t *testing.T, dir string) string {
			good := mkdir(t, 0o755, dir, "good")
			file(t, good, "f", 0o644)
			hop := link(t, good, mkdir(t, 0o777, dir, "bad"), "hop")
			return filepath.Join(link(t, hop, dir, "first"), "f")
		}, "mode 0777", "bad"},
		// The kernel opens bad/f, filepath.Clean would say good/f.
		{"dot-dot behind a link", func(t *testing.T, dir string) string {
			good, bad := mkdir(t, 0o755, dir, "good"), mkdir(t, 0o777, dir, "bad")
			file(t, good, "f", 0o644)
			file(t, bad, "f", 0o644)
			return link(t, mkdir(t, 0o755, bad, "sub"), good, "l") + "/../f"
		}, "mode 0777", "bad"},
		{"a loop", func(t *testing.T, dir string) string { return link(t, "l", dir, "l") }, "too many levels", ""},
		{"a dangling link", func(t *testing.T, dir string) string { return link(t, "nothing", dir, "l") }, "no such file", ""},
		{"missing", func(t *testing.T, dir string) string { return filepath.Join(dir, "nothing") }, "no such file", ""},
		{"a stranger's file", func(t *testing.T, dir string) string {
			return give(t, file(t, dir, "f", 0o644))
		}, "belongs to uid 54321", "f"},
		{"in a stranger's directory", func(t *testing.T, dir string) string {
			d := mkdir(t, 0o755, dir, "d")
			file(t, d, "f", 0o644)
			return filepath.Join(give(t, d), "f")
		}, "belongs to uid 54321", "d"},
		{"a stranger's link in a sticky directory", func(t *testing.T, dir string) string {
			d := mkdir(t, 0o777|os.ModeSticky, dir, "tmp")
			return give(t, link(t, file(t, dir, "f", 0o644), d, "l"))
		}, "belongs to uid 54321", "tmp/l"},
		{"in root's sticky directory", func(t *testing.T, dir string) string {
			needRoot(t)
			return file(t, mkdir(t, 0o777|os.ModeSticky, dir, "tmp"), "f", 0o644)
		}, "", ""},
		{"writable in root's sticky directory", func(t *testing.T, dir string) string {
			needRoot(t)
			return file(t, mkdir(t, 0o777|os.ModeSticky, dir, "tmp"), "f", 0o646)
		}, "mode 0646", "tmp/f"},
		{"in a stranger's sticky directory", func(t *testing.T, dir string) string {
			d := mkdir(t, 0o777|os.ModeSticky, dir, "tmp")
			file(t, d, "f", 0o644)
			return filepath.Join(give(t, d), "f")
		}, "belongs to uid 54321", "tmp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := c.prepare(t, dir)
			expect(t, Check(path), c.says, filepath.Join(dir, c.where), c.where != "")
		})
	}
}

// Only root's sticky directory is accepted: the owner of one may replace
// everything in it.
func TestStickyDirectoryOfOurs(t *testing.T) {
	if os.Geteuid() == 0 {
		return // ours is root's, which TestCheck has
	}
	dir := t.TempDir()
	d := mkdir(t, 0o777|os.ModeSticky, dir, "tmp")
	expect(t, Check(file(t, d, "f", 0o644)), "mode 0777", d, true)
}

func TestCheckRelative(t *testing.T) {
	dir := t.TempDir()
	file(t, mkdir(t, 0o777, dir, "d"), "f", 0o644)
	file(t, dir, "f", 0o644)
	t.Chdir(dir)
	expect(t, Check("f"), "", "", false)
	expect(t, Check("d/f"), "mode 0777", "d", true)
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(file(t, dir, "f", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if data, err := io.ReadAll(f); err != nil || string(data) != "content" {
		t.Errorf("%q, %v", data, err)
	}
	fifo := filepath.Join(dir, "fifo")
	must(t, syscall.Mkfifo(fifo, 0o600))
	for path, says := range map[string]string{
		file(t, dir, "g", 0o620):      "can be written by others",
		dir:                           "not a regular file",
		fifo:                          "not a regular file", // and no waiting for a writer
		filepath.Join(dir, "nothing"): "no such file",
	} {
		if f, err := Open(path); err == nil || !strings.Contains(err.Error(), says) || f != nil {
			t.Errorf("%s: %v, want %q", path, err, says)
		}
	}
	if _, err := Open(filepath.Join(dir, "nothing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a caller cannot tell a missing file: %v", err)
	}
}

// A file that is replaced between opening and checking is not taken for the
// one that was checked.
func TestOpenNoticesReplacement(t *testing.T) {
	dir := t.TempDir()
	path := file(t, dir, "f", 0o600)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, os.Rename(file(t, dir, "new", 0o600), path))
	expect(t, verify(f, path), "replaced", "", false)
}

func expect(t *testing.T, err error, says, where string, blamed bool) {
	t.Helper()
	if says == "" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	if err == nil || !strings.Contains(err.Error(), says) {
		t.Fatalf("%v, want %q", err, says)
	}
	if !blamed {
		return
	}
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), where+" ") && !strings.Contains(err.Error(), where+",") ||
		!strings.HasSuffix(e.Hint(), where) {
		t.Errorf("%v (hint %q) does not blame %s", err, e.Hint(), where)
	}
}

// needRoot skips; with REQUIRE_SANDBOX=1 and as root nothing may be skipped.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("root's sticky directory and a stranger's files need root")
	}
}

// give gives path, or the link itself, to a stranger.
func give(t *testing.T, path string) string {
	t.Helper()
	needRoot(t)
	err := os.Lchown(path, stranger, stranger)
	if err != nil && os.Getenv("REQUIRE_SANDBOX") != "1" {
		t.Skipf("root without CAP_CHOWN: %v", err)
	}
	must(t, err)
	return path
}

func file(t *testing.T, dir, name string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, []byte("content"), 0o600))
	must(t, os.Chmod(path, mode))
	return path
}

func mkdir(t *testing.T, mode os.FileMode, path ...string) string {
	t.Helper()
	dir := filepath.Join(path...)
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chmod(dir, mode))
	return dir
}

func link(t *testing.T, to, dir, name string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.Symlink(to, path))
	return path
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
