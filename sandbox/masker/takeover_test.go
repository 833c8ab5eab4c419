package masker_test

import (
	"encoding/binary"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// TestTakeOver: a new masker goes on where a killed one was. What was read and
// not yet written dies with it, at most one buffer; nothing is doubled.
func TestTakeOver(t *testing.T) {
	idle, busy := newOutput(t, "idle", ""), newOutput(t, "busy", "")
	first := start(t)
	idle.take(t, first, 0, 0, 0)
	busy.take(t, first, 0, 0, 0)
	idle.print(t, numbers(0, 1000))
	logged(t, idle.log, 1000)
	end, printed := make(chan struct{}), make(chan int)
	go printUntil(busy.w, end, printed)
	logged(t, busy.log, 1<<20)
	if err := unix.Kill(first.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended(t, first)
	if _, _, err := first.Receive(); err != io.EOF {
		t.Errorf("a killed masker: %v", err)
	}
	if err := first.Finish("idle"); err == nil {
		t.Error("a killed masker takes an order")
	}
	idle.print(t, numbers(1000, 1000)) // nobody reads; nothing is lost

	second := start(t)
	kept := size(t, busy.log)
	idle.take(t, second, 0, 1000, 0)
	busy.take(t, second, 0, kept, 0)
	close(end)
	total := <-printed
	idle.finish(t, second)
	all := done(t, second, 2)
	want(t, all["idle"], wire.Done{Run: "idle", Kept: 2000})
	holds(t, idle.log, numbers(0, 2000))
	want(t, all["busy"], wire.Done{Run: "busy", Kept: size(t, busy.log)})
	lost := total - int(size(t, busy.log))
	if lost < 0 || lost > Chunk {
		t.Fatalf("%d bytes of %d are lost", lost, total)
	}
	holds(t, busy.log, append(numbers(0, int(kept)), numbers(int(kept)+lost, total-int(kept)-lost)...))
}

// numbers is n bytes of an endless output in which no two places look alike.
func numbers(from, n int) []byte {
	data := make([]byte, 0, n+16)
	for i := from / 8; len(data) < n+8; i++ {
		data = binary.BigEndian.AppendUint64(data, uint64(i))
	}
	return data[from%8:][:n]
}

// printUntil prints until end is closed, and then sends how much that was.
func printUntil(w *os.File, end <-chan struct{}, printed chan<- int) {
	n := 0
	for {
		select {
		case <-end:
			_ = w.Close()
			printed <- n
			return
		default:
		}
		k, err := w.Write(numbers(n, 10_001))
		n += k
		if err != nil { // the test sees that in the log
			<-end
		}
	}
}

func size(t testing.TB, f *os.File) int64 {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// TestKeeperGone: agents print on, and their masker ends with the last of them.
// Stop signals, which a unit sends to everybody in it, do not end it before.
func TestKeeperGone(t *testing.T) {
	c := start(t)
	a, b := newOutput(t, "a", ""), newOutput(t, "b", "")
	a.take(t, c, 0, 0, 0)
	b.take(t, c, 0, 0, 0)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGXFSZ} {
		if err := unix.Kill(c.PID, sig); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Shutdown(c.FD(), unix.SHUT_RDWR); err != nil { // as if closed; Close is for the cleanup
		t.Fatal(err)
	}
	data := random(300_000)
	for _, o := range []*output{a, b} {
		o.print(t, data)
		_ = o.w.Close()
	}
	if status := ended(t, c); !status.Exited() || status.ExitStatus() != 0 {
		t.Errorf("ended with %#x", status)
	}
	holds(t, a.log, data)
	holds(t, b.log, data)
}
