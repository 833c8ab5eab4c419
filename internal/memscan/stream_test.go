package memscan

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"testing/iotest"
)

// TestSeams lays a canary and a fragment across every byte around the borders
// of the chunks: each must be seen once, at its place.
func TestSeams(t *testing.T) {
	canary := newCanary(t, 40)
	n, err := newNeedles([][]byte{canary})
	if err != nil {
		t.Fatal(err)
	}
	buffer := n.buffer()
	data := make([]byte, 3*chunk)
	for around := chunk - n.longest; around <= chunk+3*n.longest; around++ {
		clear(data)
		copy(data[around:], canary)
		fragment := around + chunk
		copy(data[fragment:], canary[:fragmentSize])
		seen, _, err := n.stream(bytes.NewReader(data), buffer)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, one := range seen {
			got += fmt.Sprint(one.form, one.count, one.first, ";")
		}
		if want := fmt.Sprint(Raw, 1, around, ";", Fragment, 1, fragment, ";"); got != want {
			t.Fatalf("at %d: %s, want %s", around, got, want)
		}
	}
}

func TestEveryOffsetIsFound(t *testing.T) {
	canary := newCanary(t, MinCanary)
	data := bytes.Repeat(canary, 2*chunk/MinCanary)
	if got := search(t, data, canary); got[Raw] != 2*chunk/MinCanary {
		t.Errorf("%v, want %d raw", got, 2*chunk/MinCanary)
	}
}

// TestZeros: memory is mostly zeros, and a canary may begin with some.
func TestZeros(t *testing.T) {
	canary := append(make([]byte, 12), newCanary(t, 20)...)
	data := append(make([]byte, 2*chunk), canary...)
	if got := search(t, data, canary); got[Raw] != 1 || len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestReaders(t *testing.T) {
	canary := newCanary(t, 32)
	n, err := newNeedles([][]byte{newCanary(t, 32), canary})
	if err != nil {
		t.Fatal(err)
	}
	data := append(make([]byte, 1000), canary...)
	seen, _, err := n.stream(iotest.OneByteReader(bytes.NewReader(data)), n.buffer())
	if err != nil || len(seen) != 1 || seen[0].canary != 1 || seen[0].first != 1000 {
		t.Errorf("byte by byte: %+v %v", seen, err)
	}
	broken := errors.New("broken")
	seen, total, err := n.stream(iotest.TimeoutReader(bytes.NewReader(data)), n.buffer())
	if !errors.Is(err, iotest.ErrTimeout) || total == 0 || len(seen) != 1 {
		t.Errorf("failing reader: what came before the error must count: %v %d %v", seen, total, err)
	}
	if _, _, err := n.stream(iotest.ErrReader(broken), n.buffer()); !errors.Is(err, broken) {
		t.Errorf("error of the reader is lost: %v", err)
	}
}

func BenchmarkStream(b *testing.B) {
	for _, canaries := range []int{1, 400} {
		b.Run(fmt.Sprintf("canaries=%d", canaries), func(b *testing.B) {
			var all [][]byte
			for range canaries {
				all = append(all, newCanary(b, 32))
			}
			n, err := newNeedles(all)
			if err != nil {
				b.Fatal(err)
			}
			data, buffer := newCanary(b, 16<<20), n.buffer()
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if _, _, err := n.stream(bytes.NewReader(data), buffer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
