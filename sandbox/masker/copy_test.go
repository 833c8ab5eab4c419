package masker_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/masker"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// TestCopiesExactly: many runs at once, of many sizes, in pieces of many sizes.
func TestCopiesExactly(t *testing.T) {
	c := start(t)
	sizes := []int{0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20, 9<<20 + 7}
	var agents sync.WaitGroup
	outputs, data := make([]*output, 40), make([][]byte, 40)
	for i := range outputs {
		o, all := newOutput(t, name(i), ""), random(sizes[i%len(sizes)])
		outputs[i], data[i] = o, all
		o.take(t, c, 0, 0, 0)
		piece := 1 + i*997
		agents.Go(func() {
			for part := range slices.Chunk(all, piece) {
				_, _ = o.w.Write(part)
			}
			_ = o.w.Close()
		})
	}
	reports := done(t, c, len(outputs))
	agents.Wait()
	for i, o := range outputs {
		want(t, reports[o.id], wire.Done{Run: o.id, Kept: int64(len(data[i]))})
		holds(t, o.log, data[i])
	}
}

// TestWhatIsLost: an agent never blocks on its log, and every byte is counted.
func TestWhatIsLost(t *testing.T) {
	c := start(t)
	data := random(200_000)
	n := int64(len(data))
	small := filepath.Join(tmpfs(t, "size=64k"), "log")
	for name, x := range map[string]struct {
		log             string
		mode            int
		max, kept, lost int64
		want            wire.Done
		holds           int64 // bytes of data in the log
	}{
		"no cap":             {"", os.O_WRONLY, -1, 0, 0, wire.Done{Kept: n}, n},
		"below the cap":      {"", os.O_WRONLY, n, 0, 0, wire.Done{Kept: n}, n},
		"above the cap":      {"", os.O_WRONLY, 1000, 0, 0, wire.Done{Kept: 1000, Lost: n - 1000}, 1000},
		"cap in chunks":      {"", os.O_WRONLY, 150_001, 0, 0, wire.Done{Kept: 150_001, Lost: n - 150_001}, 150_001},
		"continued":          {"", os.O_WRONLY, 1000, 990, 0, wire.Done{Kept: 1000, Lost: n - 10}, 10},
		"continued past cap": {"", os.O_WRONLY, 1000, 2000, 0, wire.Done{Kept: 2000, Lost: n}, 0},
		"ended before":       {"", os.O_WRONLY, 0, 10, 5, wire.Done{Kept: 10, Lost: n + 5}, 0},
		"full device":        {"/dev/full", os.O_WRONLY, 0, 0, 0, wire.Done{Lost: n, Errno: uint32(unix.ENOSPC)}, -1},
		"full disk":          {small, os.O_WRONLY, 0, 0, 0, wire.Done{Kept: 65536, Lost: n - 65536, Errno: uint32(unix.ENOSPC)}, 65536},
		"not for writing":    {"/dev/zero", os.O_RDONLY, 0, 0, 0, wire.Done{Lost: n, Errno: uint32(unix.EBADF)}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			if x.log == small && filepath.Dir(small) == "." {
				skip(t, "only root can mount a small disk")
			}
			if x.log == "" {
				x.log = filepath.Join(t.TempDir(), "log")
			}
			log, err := os.OpenFile(x.log, x.mode|os.O_CREATE, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			o := newOutputTo(t, strings.ReplaceAll(name, " ", "-"), log)
			o.take(t, c, x.max, x.kept, x.lost)
			o.print(t, data)
			_ = o.w.Close()
			x.want.Run = o.id
			want(t, done(t, c, 1)[o.id], x.want)
			if x.holds >= 0 {
				holds(t, o.log, data[:x.holds])
			}
		})
	}
}

// tmpfs mounts a small disk as root; "" for others.
func tmpfs(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return ""
	}
	dir := t.TempDir()
	if err := unix.Mount("masker-test", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		skip(t, "no tmpfs can be mounted: "+err.Error())
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// TestLimitsThatSignal: too large a file and a pipe without a reader are errors
// of one log, and kill nobody.
func TestLimitsThatSignal(t *testing.T) {
	c := startAs(t, "") // whose limits we may set
	limit := unix.Rlimit{Cur: 10_000, Max: 10_000}
	if err := unix.Prlimit(c.PID, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		t.Fatal(err)
	}
	data := random(30_000)
	large := newOutput(t, "large", "")
	r, w := pipe(t)
	broken := newOutputTo(t, "broken", w)
	_ = r.Close()
	for _, o := range []*output{large, broken} {
		o.take(t, c, 0, 0, 0)
		o.print(t, data)
		_ = o.w.Close()
	}
	all := done(t, c, 2)
	want(t, all["large"], wire.Done{Run: "large", Kept: 10_000, Lost: 20_000, Errno: uint32(unix.EFBIG)})
	want(t, all["broken"], wire.Done{Run: "broken", Lost: 30_000, Errno: uint32(unix.EPIPE)})
	holds(t, large.log, data[:10_000])
}

// TestSlowLog: a log that nobody reads holds up its own run alone, and loses
// nothing, whether it blocks or says so.
func TestSlowLog(t *testing.T) {
	c := start(t)
	data := random(1 << 20)
	var agents sync.WaitGroup
	readers := map[string]*os.File{}
	for i := range 12 {
		r, w := pipe(t)
		o := newOutputTo(t, name(i), w)
		o.take(t, c, 0, 0, 0)
		if err := unix.SetNonblock(int(w.Fd()), i%2 == 0); err != nil { // Fd makes it blocking
			t.Fatal(err)
		}
		_ = w.Close() // so that the masker has the only one, and its end is seen
		readers[o.id] = r
		agents.Go(func() {
			_, _ = o.w.Write(data)
			_ = o.w.Close()
		})
	}
	quick := newOutput(t, "quick", "")
	quick.take(t, c, 0, 0, 0)
	quick.print(t, data)
	_ = quick.w.Close()
	want(t, done(t, c, 1)["quick"], wire.Done{Run: "quick", Kept: int64(len(data))})

	got := make([]byte, len(data))
	for id, r := range readers {
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%s: %v, or another output", id, err)
		}
	}
	agents.Wait()
	for id, d := range done(t, c, len(readers)) {
		want(t, d, wire.Done{Run: id, Kept: int64(len(data))})
	}
}

// TestFinish: what is in the pipe comes, and a process that holds it open is
// not waited for.
func TestFinish(t *testing.T) {
	c := start(t)
	data := random(50_000)
	silent, never := newOutput(t, "silent", ""), newOutput(t, "never", "")
	silent.take(t, c, 0, 0, 0)
	never.take(t, c, 0, 0, 0)
	silent.print(t, data)
	silent.finish(t, c)
	never.finish(t, c)
	all := done(t, c, 2)
	want(t, all["silent"], wire.Done{Run: "silent", Kept: int64(len(data))})
	want(t, all["never"], wire.Done{Run: "never"})
	holds(t, silent.log, data)
}

// TestFinishEnds: an escaped process that goes on writing is not copied for
// ever. The log, a pipe, makes the masker wait in the middle.
func TestFinishEnds(t *testing.T) {
	c := start(t)
	r, w := pipe(t)
	o := newOutputTo(t, "loud", w)
	large, err := unix.FcntlInt(o.w.Fd(), unix.F_SETPIPE_SZ, 16*Chunk)
	if err != nil {
		skip(t, "no large pipe: "+err.Error())
	}
	data := random(large)
	o.print(t, data)
	o.take(t, c, 0, 0, 0)
	_ = o.log.Close()
	o.finish(t, c)
	(&output{id: "unknown"}).finish(t, c)
	want(t, done(t, c, 1)["unknown"], wire.Done{Run: "unknown"}) // so it knows the other one too
	got := make([]byte, 4*Chunk)
	if _, err := io.ReadFull(r, got); err != nil {
		t.Fatal(err)
	}
	o.print(t, random(2*Chunk)) // there is room for it by now
	rest, err := io.ReadAll(r)
	if got = append(got, rest...); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%v: %d bytes, want the %d that were there", err, len(got), len(data))
	}
	want(t, done(t, c, 1)["loud"], wire.Done{Run: "loud", Kept: int64(len(data))})
}

// logged waits until a log holds n bytes at least: output is seen while the
// agent runs.
func logged(t testing.TB, log *os.File, n int64) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, log.Name(), unix.IN_MODIFY); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 4096); ; {
		if info, err := log.Stat(); err != nil || info.Size() >= n {
			return
		}
		await(t, fd)
		_, _ = unix.Read(fd, buf)
	}
}

// TestManyRuns: what a hundred silent runs of 20 secrets cost, and that they are
// all served.
func TestManyRuns(t *testing.T) {
	c := start(t)
	before := rss(t, c.PID)
	prints, line := printsOf(t, twenty()...), append(bytes.Repeat([]byte{'.'}, Chunk/2-1), '\n')
	outputs := make([]*output, 100)
	for i := range outputs {
		outputs[i] = newOutput(t, name(i), "")
		outputs[i].prints = prints
		outputs[i].take(t, c, 0, 0, 0)
		outputs[i].print(t, line)
	}
	for _, o := range outputs {
		logged(t, o.log, Chunk/2)
	}
	t.Logf("RSS: %s at the start, %s with 100 runs", before, rss(t, c.PID))
	for _, o := range outputs {
		_ = o.w.Close()
	}
	done(t, c, len(outputs))
}

const Chunk = masker.Chunk
