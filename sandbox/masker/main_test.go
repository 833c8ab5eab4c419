package masker_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/sandbox/masker"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// TestMain also makes the test binary a process that confines itself as a
// masker does and then attacks.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case roleAttacker:
			os.Exit(beAttacker())
		case roleLandlocked:
			os.Exit(beLandlocked())
		}
	}
	testbin.Main(m)
}

const (
	ordinaryUID = 54321 // without an entry in passwd
	nobodyUID   = 65534
)

// skip skips a test for want of a kernel feature or a privilege. Where the
// sandbox is required, root cannot want any.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_SANDBOX") == "1" && os.Geteuid() == 0 {
		t.Fatalf("REQUIRE_SANDBOX=1, but %s", why)
	}
	t.Skip(why)
}

func as(uid uint32) string { return wire.FormatUser(uid, uid) }

// start starts a real masker, as the keeper does for root: of another user.
func start(t testing.TB) *masker.Client {
	t.Helper()
	if os.Geteuid() == 0 {
		return startAs(t, as(nobodyUID))
	}
	return startAs(t, "")
}

func startAs(t testing.TB, who string) *masker.Client {
	t.Helper()
	c, err := masker.Start(testbin.Build(t).Stage, who)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = unix.Kill(c.PID, unix.SIGKILL)
		_, _ = unix.Wait4(c.PID, nil, 0, nil)
	})
	return c
}

// ended waits for the masker's own end, and returns how it ended.
func ended(t testing.TB, c *masker.Client) unix.WaitStatus {
	t.Helper()
	var status unix.WaitStatus
	for {
		pid, err := unix.Wait4(c.PID, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if pid != c.PID || err != nil {
			t.Fatalf("wait4: %d, %v", pid, err)
		}
		return status
	}
}

// output is one run: w is the agent's end.
type output struct {
	id        string
	r, w, log *os.File
	prints    *wire.Fingerprints // nil: no values
}

// newOutput makes a pipe and a log: path, or a new file.
func newOutput(t testing.TB, id, path string) *output {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "log")
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return newOutputTo(t, id, log)
}

func newOutputTo(t testing.TB, id string, log *os.File) *output {
	t.Helper()
	o := &output{id: id, log: log}
	o.r, o.w = pipe(t)
	t.Cleanup(func() { _ = log.Close() })
	return o
}

// pipe makes a pipe whose ends wait for a minute at most: a masker that died
// is a failure, no test that hangs.
func pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(time.Minute)
	if err := errors.Join(r.SetReadDeadline(limit), w.SetWriteDeadline(limit)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return r, w
}

func (o *output) take(t testing.TB, c *masker.Client, max, kept, lost int64) {
	t.Helper()
	o.give(t, c, &wire.Take{Run: o.id, Max: max, Kept: kept, Lost: lost})
}

func (o *output) give(t testing.TB, c *masker.Client, order *wire.Take) {
	t.Helper()
	var data []byte
	if o.prints != nil {
		data = o.prints.Encode()
	}
	prints := memfd(t, data)
	if err := c.Take(order, int(o.r.Fd()), int(o.log.Fd()), int(prints.Fd())); err != nil {
		t.Fatal(err)
	}
}

// memfd holds data, and stands behind it as after the write of a stage.
func memfd(t testing.TB, data []byte) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("fingerprints", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "fingerprints")
	t.Cleanup(func() { _ = file.Close() })
	if _, err := file.Write(data); err != nil {
		t.Fatal(err)
	}
	return file
}

func (o *output) print(t testing.TB, data []byte) {
	t.Helper()
	if _, err := o.w.Write(data); err != nil {
		t.Error(err)
	}
}

func (o *output) finish(t testing.TB, c *masker.Client) {
	t.Helper()
	if err := c.Finish(o.id); err != nil {
		t.Fatal(err)
	}
}

// done waits for n reports of a masker, by run.
func done(t testing.TB, c *masker.Client, n int) map[string]wire.Done {
	t.Helper()
	all := map[string]wire.Done{}
	for len(all) < n {
		d, more, err := c.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			await(t, c.FD())
			continue
		}
		if old, twice := all[d.Run]; twice {
			t.Errorf("done twice: %+v, %+v", old, d)
		}
		all[d.Run] = d
	}
	return all
}

// await fails the test if nothing comes for a minute.
func await(t testing.TB, fd int) {
	t.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 60_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("nothing came: %v", err)
		}
		return
	}
}

func want(t testing.TB, got, want wire.Done) {
	t.Helper()
	if got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func holds(t testing.TB, log *os.File, want []byte) {
	t.Helper()
	got, err := os.ReadFile(log.Name())
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v: a log of %d bytes is not the %d that it should hold", err, len(got), len(want))
	}
}

func random(n int) []byte {
	data := make([]byte, n)
	_, _ = rand.Read(data)
	return data
}

func name(i int) string { return fmt.Sprintf("run-%d", i) }
