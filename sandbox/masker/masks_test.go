package masker_test

import (
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/memscan"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// TestMasksOutput: what a real masker writes, for many runs at once, in pieces of
// many sizes.
func TestMasksOutput(t *testing.T) {
	c := start(t)
	value := strings.ReplaceAll(letters(50), "\n", "_")
	prints, in := printsOf(t, secret{"V", value}), strings.Repeat("it is "+value+", and again:\n"+value[:49]+"\n", 3000)+strings.Repeat(".", 300)
	wanted := masked(t, prints, []byte(in))
	if strings.Count(wanted, "[redacted:V]") != 3000 {
		t.Fatalf("%.300q", wanted)
	}
	outputs := make([]*output, 10)
	for i := range outputs {
		o := newOutput(t, name(i), "")
		outputs[i], o.prints = o, prints
		o.take(t, c, 0, 0, 0)
		go func() {
			for part := range slices.Chunk([]byte(in), 1+i*i*997) {
				_, _ = o.w.Write(part)
			}
			_ = o.w.Close()
		}()
	}
	for id, d := range done(t, c, len(outputs)) {
		want(t, d, wire.Done{Run: id, Kept: int64(len(wanted))})
	}
	for _, o := range outputs {
		holds(t, o.log, []byte(wanted))
	}
}

// TestEndOfOutput: at the end of a pipe and at Finish, a hit is masked and the
// last bytes of others come out.
func TestEndOfOutput(t *testing.T) {
	c := start(t)
	for i, in := range []string{"it is some-secret-value", "it is some-secr", "it is some-"} {
		for _, finish := range []bool{false, true} {
			o := newOutput(t, name(2*i)+map[bool]string{true: "finish"}[finish], "")
			o.prints = printsOf(t, secret{"V", "some-secret-value"})
			o.take(t, c, 0, 0, 0)
			o.print(t, []byte(in))
			if finish {
				o.finish(t, c)
			} else {
				_ = o.w.Close()
			}
			done(t, c, 1)
			holds(t, o.log, []byte([]string{"it is [redacted:V]", "it is [redacted:V]", "it is some-"}[i]))
		}
	}
}

// TestNoFingerprints: output whose values are not known does not come out.
func TestNoFingerprints(t *testing.T) {
	c := start(t)
	o := newOutput(t, "run", "")
	order := &wire.Take{Run: o.id}
	if err := c.Take(order, int(o.r.Fd()), int(o.log.Fd()), int(memfd(t, []byte("no fingerprints")).Fd())); err != nil {
		t.Fatal(err)
	}
	o.print(t, []byte("output"))
	_ = o.w.Close()
	want(t, done(t, c, 1)["run"], wire.Done{Run: "run", Lost: 6, Errno: uint32(unix.EBADMSG)})
	holds(t, o.log, nil)
}

// TestTornValue: a masker dies with the beginning of a value in its hands, and
// the next one does not let out the rest.
func TestTornValue(t *testing.T) {
	value := strings.ReplaceAll(letters(40), "\n", "_") // else a line would wait for its form
	for cut := 1; cut < len(value); cut += 13 {
		o := newOutput(t, "run", "")
		o.prints = printsOf(t, secret{"V", value})
		first := start(t)
		o.take(t, first, 0, 0, 0)
		o.print(t, []byte("a line\n"+value[:cut]))
		logged(t, o.log, 7)
		if err := unix.Kill(first.PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		ended(t, first)
		second := start(t)
		o.give(t, second, &wire.Take{Run: "run", Kept: size(t, o.log), Torn: true})
		o.print(t, []byte(value[cut:]+strings.Repeat("\n", 100)+strings.Repeat("x", 80)+" and "+value+"\n"))
		_ = o.w.Close()
		done(t, second, 1)
		text, err := os.ReadFile(o.log.Name())
		if err != nil || !strings.HasPrefix(string(text), "a line\n") || !strings.HasSuffix(string(text), " and [redacted:V]\n") {
			t.Errorf("cut at %d: %v, %q", cut, err, text)
		}
		for i := 0; i+8 <= len(value); i++ {
			if strings.Contains(string(text), value[i:i+8]) {
				t.Fatalf("cut at %d: a part of the value in %q", cut, text)
			}
		}
	}
}

// TestNothingStays: once a value was masked, no copy of it or of its encodings is
// left in the masker, whether it came whole or in halves. While half of it
// waits, that half is there: so the scan sees what it looks for.
func TestNothingStays(t *testing.T) {
	if os.Geteuid() != 0 {
		skip(t, "needs root, to look into the masker")
	}
	c := start(t)
	value := strings.ReplaceAll(letters(60), "\n", "_")
	o := newOutput(t, "run", "")
	o.prints = printsOf(t, secret{"V", value})
	o.take(t, c, 0, 0, 0)
	scan := func() *memscan.Report {
		t.Helper()
		r, err := memscan.Scan(memscan.Request{PIDs: []int{c.PID}, Canaries: [][]byte{[]byte(value[:30]), []byte(value[30:])}})
		if err != nil || r.Denied() {
			t.Fatalf("%v, %+v", err, r)
		}
		return r
	}
	o.print(t, []byte("it is\n"+value[:30]))
	logged(t, o.log, 6)
	if scan().Count() == 0 {
		t.Error("the half that waits is not found")
	}
	encoded := wrapped(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 100)+value)), "\n", 76)
	o.print(t, []byte(value[30:]+"\n"+encoded+value+"\nend of it\n"))
	wanted := masked(t, o.prints, []byte("it is\n"+value+"\n"+encoded+value+"\nend of it\n"))
	logged(t, o.log, int64(len(wanted)))
	r := scan()
	for i := 0; i < 20 && r.Count() != 0; i++ { // it wipes right behind the write, and the write is what we saw
		r = scan()
	}
	if r.Count() != 0 {
		t.Errorf("%d copies stay: %+v", r.Count(), r)
	}
}
