package lossy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

const patience = 10 * time.Second

func notice(n int) []byte { return fmt.Appendf(nil, "dropped %d\n", n) }

// A pipe that nobody reads takes nothing and stops nobody; once somebody reads
// it, every line is there or counted, and in order.
func TestNobodyReads(t *testing.T) {
	r, file, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := New(file, notice)
	const lines = 60_000 // of 50 bytes: more than pipe, write and queue hold
	for i := range lines {
		if n, err := fmt.Fprintf(w, "%06d%s\n", i, strings.Repeat(".", 43)); n != 50 || err != nil {
			t.Fatal(n, err)
		}
	}
	if w.Flush(0) {
		t.Error("flushed, though nobody reads")
	}
	all := make(chan []byte)
	go func() { data, _ := io.ReadAll(r); all <- data }()
	if !w.Flush(patience) {
		t.Fatal("not flushed, though somebody reads")
	}
	fmt.Fprintln(w, "last")
	w.Flush(patience)
	file.Close()
	got := <-all
	if max := 2*Limit + 1<<17; len(got) > max {
		t.Errorf("%d bytes were kept, more than %d", len(got), max)
	}
	next := 0
	for _, line := range strings.Split(strings.TrimSpace(string(got)), "\n") {
		var n int
		if _, err := fmt.Sscanf(line, "dropped %d", &n); err == nil {
			next += n
		} else if line != "last" {
			if want := fmt.Sprintf("%06d", next); !strings.HasPrefix(line, want) {
				t.Fatalf("%.20q, want %s", line, want)
			}
			next++
		}
	}
	if next != lines || !bytes.HasSuffix(got, []byte("last\n")) {
		t.Errorf("%d lines are there or counted, want %d; it ends %.20q", next, lines, got[len(got)-20:])
	}
}

// A file that takes everything gets everything.
func TestNothingIsLost(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := New(file, notice)
	line := []byte(strings.Repeat("x", 200) + "\n")
	for range 20 {
		for range 1000 {
			_, _ = w.Write(line)
		}
		if !w.Flush(patience) {
			t.Fatal("not flushed")
		}
	}
	if info, err := file.Stat(); err != nil || info.Size() != int64(20_000*len(line)) {
		t.Errorf("%v %v", info.Size(), err)
	}
}

// full takes as much as a disk that is full has room for.
type full struct {
	room int
	bytes.Buffer
}

func (f *full) Write(p []byte) (int, error) {
	n := min(f.room, len(p))
	f.room -= n
	f.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errors.New("no space left")
	}
	return n, nil
}

func TestFullDisk(t *testing.T) {
	disk := &full{room: 4}
	w := New(disk, notice)
	write := func(s string) {
		_, _ = io.WriteString(w, s)
		if !w.Flush(patience) {
			t.Fatal("not flushed")
		}
	}
	write("1\n2\n3\n4\n")
	disk.room = 1000
	write("5\n")
	if got := disk.String(); got != "1\n2\ndropped 2\n5\n" {
		t.Errorf("%q", got)
	}
}
