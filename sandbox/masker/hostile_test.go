package masker_test

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/masker"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// TestGarbage: what is no order is dropped, its descriptors too, and the runs
// go on. Every Take is answered, once.
func TestGarbage(t *testing.T) {
	c := start(t)
	good := newOutput(t, "good", "")
	good.take(t, c, 0, 0, 0)
	held, sent := pipe(t)
	fds := slices.Repeat([]int{int(sent.Fd())}, 6)
	take := func(run string) []byte {
		return order(t, wire.MaskerOrder{Take: &wire.Take{Run: run, Kept: 7, Lost: 8}})
	}
	for _, x := range []struct {
		data []byte
		fds  int
	}{
		{[]byte{0}, 0},
		{random(100), 1},
		{random(wire.MaxMaskerMessage + 1), 2},
		{random(100_000), 2},
		{order(t, wire.MaskerReport{Ready: &wire.MaskerReady{}}), 2},
		{append(take("trailing"), 0), 2},
		{take(strings.Repeat("r", wire.MaxRun+1)), 2},
		{take("no-fds"), 0},
		{take("one-fd"), 1},
		{take("two-fds"), 2},
		{take("six-fds"), 6},
		{take("good"), 3}, // is there already
		{order(t, wire.MaskerOrder{Finish: &wire.Finish{Run: "unknown"}}), 2},
	} {
		if err := unix.Sendmsg(c.FD(), x.data, unix.UnixRights(fds[:x.fds]...), nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	all := done(t, c, 6)
	for run, errno := range map[string]unix.Errno{"no-fds": unix.EMFILE, "one-fd": unix.EMFILE, "two-fds": unix.EMFILE, "six-fds": unix.EMFILE, "good": unix.EEXIST} {
		want(t, all[run], wire.Done{Run: run, Kept: 7, Lost: 8, Errno: uint32(errno)})
	}
	want(t, all["unknown"], wire.Done{Run: "unknown"})
	_ = sent.Close()
	await(t, int(held.Fd()))
	if n, err := held.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	good.print(t, []byte("still here"))
	_ = good.w.Close()
	want(t, done(t, c, 1)["good"], wire.Done{Run: "good", Kept: 10})
	holds(t, good.log, []byte("still here"))
}

// TestTooManyFiles: a masker without room for descriptors says so for that run,
// and serves those that it has.
func TestTooManyFiles(t *testing.T) {
	c := startAs(t, "") // whose limits we may set
	good := newOutput(t, "good", "")
	good.take(t, c, 0, 0, 0)
	good.print(t, []byte("it is there"))
	logged(t, good.log, 11)
	limit := unix.Rlimit{Cur: 7, Max: 7} // less than it has open
	if err := unix.Prlimit(c.PID, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	late := newOutput(t, "late", "")
	late.take(t, c, 0, 0, 0)
	want(t, done(t, c, 1)["late"], wire.Done{Run: "late", Errno: uint32(unix.EMFILE)})
	good.print(t, []byte(", still"))
	_ = good.w.Close()
	want(t, done(t, c, 1)["good"], wire.Done{Run: "good", Kept: 18})
}

func order(t testing.TB, v any) []byte {
	t.Helper()
	data, err := protocol.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestDoesNotStart: each cause has its sentence, and nothing is left but a
// process to reap.
func TestDoesNotStart(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, []byte("#!/nonexistent"), 0o600); err != nil {
		t.Fatal(err)
	}
	for exe, want := range map[string]string{
		"/nonexistent": "cannot start the masker: cannot execute /nonexistent: no such file or directory",
		file:           "cannot start the masker: cannot execute " + file + ": permission denied",
		"/bin/true":    "cannot start the masker: it died",
	} {
		c, err := masker.Start(exe, "")
		if c != nil || err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(-1, &status, 0, nil); pid <= 0 || err != nil { // of /bin/true
		t.Errorf("%d, %v", pid, err)
	}
	if os.Geteuid() != 0 {
		_, err := masker.Start(testbin.Build(t).Stage, as(1))
		if err == nil || !strings.HasSuffix(err.Error(), "operation not permitted") {
			t.Errorf("another user without privilege: %v", err)
		}
	}
}

// TestKeeperIsNotFooled: a masker that was taken over can only end its own
// service. Here a test is the masker.
func TestKeeperIsNotFooled(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"garbage":      {`printf garbage >&3`, "cannot start the masker: malformed message"},
		"refuses":      {fmt.Sprintf(`printf '\241\002\242\001\%03o\002\001' >&3`, wire.StepLandlock), "cannot start the masker: cannot confine itself with Landlock: operation not permitted"},
		"begins, done": {`printf '\241\003\244\001\141r\002\000\003\000\004\000' >&3`, "cannot start the masker: malformed message"},
	} {
		exe := t.TempDir() + "/masker"
		if err := os.WriteFile(exe, []byte("#!/bin/sh\n"+test.script+"\nread wait <&3\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := masker.Start(exe, "")
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
		_, _ = unix.Wait4(-1, nil, 0, nil)
	}
}
