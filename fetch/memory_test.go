package fetch

import (
	"bytes"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// A gigabyte, in whatever shape, costs neither a gigabyte of traffic nor of
// memory. Not parallel: it looks at the heap of the whole process.
func TestMemory(t *testing.T) {
	const mib = 1 << 20
	// One of the 127 elements of an array: an array of 64 Ki empty maps. Such CBOR
	// is well-formed, cheap to send and dear to build: these 8 MiB become 500.
	maps := append([]byte{0x9a, 0, 1, 0, 0}, bytes.Repeat([]byte{0xa0}, 1<<16)...)
	signature := append([]byte{0x58, 64}, make([]byte, 64)...)
	const inHeader = "\xd2\x84\x43\xa1\x01\x27\xa1\x18\x63\x98\x7f" // {99: [127 elements]}
	for _, c := range []struct {
		name  string
		head  string
		chunk []byte
		times int
		tail  []byte
		sent  int // bytes that may leave the attacker: what is read, and what lies in socket buffers
		heap  uint64
	}{
		{"a page", "", make([]byte, mib), 1024, nil, 16 * mib, 16 * mib},
		{"like a reply at first", replyPrefix, make([]byte, mib), 1024, nil, protocol.MaxReplySize + 16*mib, 4 * protocol.MaxReplySize},
		{"a payload of arrays", replyPrefix + "\x98\x7f", maps, 127, signature, 16 * mib, 64 * mib},
		{"a header of arrays", inHeader, maps, 127, append([]byte{0x41, 1}, signature...), 16 * mib, 16 * mib},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, func(o *Options) { o.MinWait = time.Hour })
			a := s.agent("a", nil)
			var sent, peak atomic.Int64
			s.turn(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				send(w, []byte(c.head))
				for i := range c.times {
					n, err := w.Write(c.chunk)
					sent.Add(int64(n))
					if err != nil {
						return
					}
					if i%8 == 0 {
						peak.Store(max(peak.Load(), int64(memory().HeapAlloc)))
					}
				}
				_, _ = w.Write(c.tail)
			})
			runtime.GC()
			before := memory()
			s.begin(t.Context(), a)
			eventually(t, func() bool { return s.source.Status().Attempts == 1 }, s.status)
			after := memory()
			if n := sent.Load(); n > int64(c.sent) {
				t.Errorf("%d MiB were sent", n/mib)
			}
			if p := max(uint64(peak.Load()), after.HeapAlloc); p > before.HeapAlloc+c.heap {
				t.Errorf("the heap grew by %d MiB", (p-before.HeapAlloc)/mib)
			}
			t.Logf("sent %d MiB, allocated %d MiB in all: %s", sent.Load()/mib, (after.TotalAlloc-before.TotalAlloc)/mib, s.source.Status().LastError)
		})
	}
}

func memory() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}
