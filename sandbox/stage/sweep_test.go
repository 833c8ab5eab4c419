package stage_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
)

const ordinaryUID = 54321

// as runs f in a thread that makes files as another user, without root's rights
// over files; for an ordinary user as ourselves. The thread ends with f.
func as(t *testing.T, uid int, f func() error) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if uid != os.Geteuid() {
			_, _ = unix.Setfsgid(uid), unix.Setfsuid(uid)
		}
		done <- f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// ground is a directory to be swept and what must survive beside it.
type ground struct {
	uid    int
	dir    string
	canary string
	scale  int // of a large tree
}

// newGround: a large one is in memory where that can be, which is ten times
// faster, and smaller elsewhere.
func newGround(t *testing.T, uid int, large bool) *ground {
	t.Helper()
	base, scale := t.TempDir(), 1
	if large {
		if dir, err := os.MkdirTemp("/dev/shm", "sweep-"); err == nil {
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			base, scale = dir, 10
		}
	}
	for dir := base; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755)
	}
	g := &ground{uid, filepath.Join(base, "tmp"), filepath.Join(base, "canary"), scale}
	for _, dir := range []string{g.dir, g.canary, filepath.Join(g.canary, "sub")} {
		must(t, os.Mkdir(dir, 0o700))
		must(t, os.Chown(dir, uid, uid))
	}
	for _, file := range []string{"file", "sub/file"} {
		must(t, os.WriteFile(filepath.Join(g.canary, file), []byte("precious"), 0o600))
		must(t, os.Chown(filepath.Join(g.canary, file), uid, uid))
	}
	t.Cleanup(func() { // what TempDir cannot remove
		_ = exec.Command("chmod", "-R", "u+rwX", g.dir).Run()
		_ = exec.Command("rm", "-rf", g.dir).Run()
	})
	return g
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// look describes everything at path, links and modes included.
func look(t *testing.T, path string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, path, info.Mode(), info.ModTime())
		}
		return err
	})
	must(t, err)
	return b.String()
}

// sweep runs the real program on the directory.
func (g *ground) sweep(t *testing.T, dir *os.File, who string) int {
	t.Helper()
	cmd := exec.Command(testbin.Build(t).Stage, "sweep", who)
	if dir != nil {
		cmd.ExtraFiles = []*os.File{dir}
	}
	if out, _ := cmd.CombinedOutput(); len(out) > 0 {
		t.Errorf("it prints %q", out)
	}
	return cmd.ProcessState.ExitCode()
}

func (g *ground) who() string {
	if g.uid == os.Geteuid() {
		return ""
	}
	return fmt.Sprintf("%d:%[1]d", g.uid)
}

func (g *ground) open(t *testing.T, flags int) *os.File {
	t.Helper()
	fd, err := unix.Open(g.dir, flags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	f := os.NewFile(uintptr(fd), g.dir)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func users() map[string]int {
	if os.Geteuid() == 0 {
		return map[string]int{"own": 0, "other": ordinaryUID}
	}
	return map[string]int{"own": os.Geteuid()}
}

func TestSweep(t *testing.T) {
	for user, uid := range users() {
		for kind, flags := range map[string]int{"path": unix.O_PATH, "read": unix.O_RDONLY} {
			for name, plant := range hostileTrees {
				t.Run(user+"/"+kind+"/"+name, func(t *testing.T) {
					g := newGround(t, uid, large[name])
					dir := g.open(t, flags)
					as(t, uid, func() error { return plant(g) })
					before := look(t, g.canary)
					if code := g.sweep(t, dir, g.who()); code != 0 {
						t.Errorf("exit %d", code)
					}
					if left, err := os.ReadDir(g.dir); len(left) != 0 || err != nil && uid == 0 {
						t.Errorf("left: %v, %v", left, err)
					}
					if after := look(t, g.canary); after != before {
						t.Errorf("outside, before:\n%safter:\n%s", before, after)
					}
				})
			}
		}
	}
}

// TestSweepLeaves: what is another's stays, the rest goes, and the exit code says so.
func TestSweepLeaves(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount and to make another user's files")
	}
	for name, plant := range map[string]func(g *ground) error{
		"a file system": func(g *ground) error { return unix.Mount("tmpfs", g.dir+"/a/b/mnt", "tmpfs", 0, "size=64k,mode=0777") },
		"a bind mount":  func(g *ground) error { return unix.Mount(g.canary, g.dir+"/a/b/mnt", "", unix.MS_BIND, "") },
		"a mounted file": func(g *ground) error {
			return first(os.WriteFile(g.dir+"/a/mnt", nil, 0o600), unix.Mount(g.canary+"/file", g.dir+"/a/mnt", "", unix.MS_BIND, ""))
		},
		"another's directory": func(g *ground) error {
			return first(os.Mkdir(g.dir+"/a/root", 0o755), os.WriteFile(g.dir+"/a/root/file", nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGround(t, ordinaryUID, false)
			as(t, ordinaryUID, func() error {
				return first(os.MkdirAll(g.dir+"/a/b/mnt", 0o700), os.WriteFile(g.dir+"/a/b/file", nil, 0), os.Symlink("mnt", g.dir+"/a/b/link"))
			})
			before := look(t, g.canary)
			code := 0
			as(t, 0, func() error { // mounts in a namespace of this thread's own
				err := first(unix.Unshare(unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), plant(g))
				if err == nil {
					code = g.sweep(t, g.open(t, unix.O_PATH), g.who())
				}
				return err
			})
			if code != 1 {
				t.Errorf("exit %d", code)
			}
			if after := look(t, g.canary); after != before {
				t.Errorf("outside, before:\n%safter:\n%s", before, after)
			}
			if rest := look(t, g.dir); strings.Contains(rest, "link") || strings.Contains(rest, "b/file") {
				t.Errorf("too much is left:\n%s", rest)
			}
		})
	}
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// TestSweepWhileFilesAppear: whoever is still at work does not lead it outside, and
// the next sweep finds the rest.
func TestSweepWhileFilesAppear(t *testing.T) {
	g := newGround(t, users()["own"], true)
	before := look(t, g.canary)
	dir := g.open(t, unix.O_RDONLY)
	done := make(chan error)
	go func() {
		for i := range 500 * g.scale {
			d := fmt.Sprintf("%s/%d", g.dir, i%50)
			_ = os.Mkdir(d, 0o700)
			_ = os.Symlink(g.canary, fmt.Sprintf("%s/%d", d, i))
			_ = os.Mkdir(d+"/x", 0)
			_ = os.Rename(d+"/x", g.canary+"/x") // out of it, empty
			_ = os.Remove(g.canary + "/x")
			_ = os.Remove(d + "/x")
		}
		done <- nil
	}()
	for busy := true; busy; {
		g.sweep(t, dir, "")
		select {
		case <-done:
			busy = false
		default:
		}
	}
	if code := g.sweep(t, dir, ""); code != 0 {
		t.Errorf("exit %d", code)
	}
	if left, err := os.ReadDir(g.dir); len(left) != 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
	names := func(s string) int { return strings.Count(s, "\n") }
	if after := look(t, g.canary); names(after) != names(before) {
		t.Errorf("outside, before:\n%safter:\n%s", before, after)
	}
}

func TestSweepRefuses(t *testing.T) {
	g := newGround(t, os.Geteuid(), false)
	must(t, os.WriteFile(g.dir+"/file", nil, 0o600))
	dir := g.open(t, unix.O_PATH)
	file, err := os.Open(g.dir + "/file")
	must(t, err)
	defer file.Close()
	tests := []struct {
		dir  *os.File
		who  string
		code int
	}{
		{nil, "", 1}, {file, "", 1}, {dir, "0:0", 2}, {dir, "x", 2}, {dir, "1", 2}, {dir, "4294967295:1", 2},
		// root's directory is closed to that user; who may not switch does not go on as itself
		{dir, "54321:54321", 1},
	}
	for _, test := range tests {
		if code := g.sweep(t, test.dir, test.who); code != test.code {
			t.Errorf("%v, %q: exit %d, want %d", test.dir, test.who, code, test.code)
		}
	}
	if _, err := os.Stat(g.dir + "/file"); err != nil {
		t.Error(err)
	}
}
