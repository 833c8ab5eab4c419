package protocol_test

import (
	"bytes"
	"crypto/ed25519"
	"runtime"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// What announces much, or is cheap to send and dear to build, costs no decoder
// more memory than was sent. Not parallel: it looks at what the process
// allocates.
func TestBoundedMemory(t *testing.T) {
	repeated := func(head string, item []byte, n int) []byte { return append([]byte(head), bytes.Repeat(item, n)...) }
	const (
		huge    = "\x9b\x00\x00\x00\x00\xff\xff\xff\xff"                         // an array of 2^32-1 items
		array4k = "\x99\x10\x00"                                                 // an array of 4096 items
		request = "\xa3\x01\x01\x02\x58\x20................................\x03" // up to its agents
		signed  = "\xd2\x84\x43\xa1\x01\x27"                                     // a signed reply, up to its unprotected header
	)
	nulls := repeated(array4k, []byte{0xf6}, 4096)
	agents := func(key byte, n int) []byte {
		return repeated("\x99"+string([]byte{byte(n >> 8), byte(n)}), append([]byte{0xa1, key}, nulls...), n)
	}
	signature := append([]byte{0x58, 64}, make([]byte, 64)...)
	maps := repeated("\x9a\x00\x01\x00\x00", []byte{0xa0}, 1<<16)
	public, _, err := ed25519.GenerateKey(nil)
	check(t, err)
	decodeRequest := func(b []byte) error { _, err := protocol.DecodeRequest(b); return err }
	decodeReply := func(b []byte) error { _, err := protocol.DecodeReply(b); return err }
	decodeEnvelope := func(b []byte) error {
		_, err := protocol.DecodeEnvelope(b, make([]byte, protocol.KeyIDSize))
		return err
	}
	verify := func(b []byte) error { _, err := sign.Verify(public, b, goodRequest(), "host-1"); return err }
	for _, c := range []struct {
		name   string
		decode func([]byte) error
		data   []byte
	}{
		{"agents announced", decodeRequest, []byte(request + huge)},
		{"agents of bindings of nulls", decodeRequest, append([]byte(request), agents(3, 2000)...)},
		{"few agents of bindings of nulls", decodeRequest, append([]byte(request), agents(3, 16)...)},
		{"agents of errors of nulls", decodeReply, append([]byte("\xa1\x05"), agents(4, 4096)...)},
		{"a string announced", decodeReply, []byte("\xa1\x03\x7b\x00\x00\x00\x00\xff\xff\xff\xff")},
		{"nested", decodeReply, bytes.Repeat([]byte{0x81}, 1<<20)},
		{"recipients of nulls", decodeEnvelope, append([]byte("\x84\x43\xa1\x01\x03\xa1\x05\x40\x40"), nulls...)},
		{"a payload announced", verify, []byte(signed + "\xa0\x5a\xff\xff\xff\xff")},
		{"a payload of arrays", verify, append(repeated(signed+"\xa0\x98\x7f", maps, 127), signature...)},
		{"a header of arrays", verify, append(append(repeated(signed+"\xa1\x18\x63\x98\x7f", maps, 127), 0x41, 1), signature...)},
		{"a payload of 16 MiB", verify, append(repeated(signed+"\xa0\x5a\x01\x00\x00\x00", []byte{0}, 1<<24), signature...)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := c.decode(c.data)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; err == nil || n > uint64(3*len(c.data)+1<<17) {
			t.Errorf("%s: %d bytes allocated for %d: %v", c.name, n, len(c.data), err)
		}
	}
}
