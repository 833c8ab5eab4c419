package stage

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestConfineTo does what a bug in Sweep could do, in a thread of its own that
// ends with the test.
func TestConfineTo(t *testing.T) {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION); errno != 0 {
		if os.Getenv("REQUIRE_SANDBOX") == "1" {
			t.Fatal("REQUIRE_SANDBOX=1, but this kernel has no Landlock")
		}
		t.Skip("this kernel has no Landlock")
	}
	dir := t.TempDir()
	for _, d := range []string{"in/a/b", "out/c"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	open := func(name string) int {
		fd, err := unix.Open(filepath.Join(dir, name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	in, a, out := open("in"), open("in/a"), open("out")
	errs := make(chan [6]error)
	go func() {
		runtime.LockOSThread()
		var got [6]error
		got[0] = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		got[1] = confineTo(in)
		got[2] = unix.Unlinkat(out, "c", unix.AT_REMOVEDIR)
		got[3] = unix.Renameat(out, "c", in, "c")
		got[4] = unix.Unlinkat(in, "../out/c", unix.AT_REMOVEDIR)
		got[5] = unix.Renameat(a, "b", in, "b")
		errs <- got
	}()
	got := <-errs
	// A move out of a directory that grants it nothing is EXDEV to Landlock.
	if want := [6]error{nil, nil, unix.EACCES, unix.EXDEV, unix.EACCES, nil}; got != want && got[3] != unix.EACCES {
		t.Errorf("%v, want %v", got, want)
	}
	for _, name := range []string{"out/c", "in/b"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestFileRights(t *testing.T) {
	for abi, want := range map[uintptr]uint64{2: 0x3fff, 3: 0x7fff, 4: 0x7fff, 5: 0xffff, 7: 0xffff} {
		if got := fileRights(abi); got != want {
			t.Errorf("version %d: %#x, want %#x", abi, got, want)
		}
	}
}
