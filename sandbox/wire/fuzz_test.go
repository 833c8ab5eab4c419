package wire

import (
	"bytes"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// FuzzDecodeSpec: what decodes is encoded to the same bytes, and holds what
// the stage relies on.
func FuzzDecodeSpec(f *testing.F) {
	f.Add(encode(f, full()))
	f.Add(encode(f, &Spec{Version: Version, Paths: []string{"/a"}, Argv: []string{"a"}, Env: []string{}, Rlimits: []Rlimit{}}))
	f.Add(encode(f, &Spec{}))
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeSpec(data)
		if err != nil {
			if s != nil {
				t.Error("a spec beside an error")
			}
			return
		}
		if s.Version != Version || len(s.Paths) == 0 || len(s.Argv) == 0 {
			t.Errorf("accepted %+v", s)
		}
		again, err := protocol.Marshal(s)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("%v: %x became %x", err, data, again)
		}
		if s.Bundle != nil { // the stage asks for its size before it validates
			_ = s.Bundle.Meta.PlaintextSize()
			_ = s.Bundle.Validate()
		}
	})
}

// FuzzDecodeStatus: only "ready" alone means that the agent runs.
func FuzzDecodeStatus(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{Ready, byte(MemorySecret)})
	f.Add([]byte{Ready, byte(MemoryLocked)})
	f.Add((&Failure{Step: StepExec, Code: 2}).Encode())
	f.Add(append([]byte{Ready, byte(MemorySecret)}, (&Failure{Step: StepExec, Code: CodeKey}).Encode()...))
	f.Fuzz(func(t *testing.T, data []byte) {
		memory, err := DecodeStatus(data)
		runs := len(data) == 2 && data[0] == Ready && (data[1] == byte(MemorySecret) || data[1] == byte(MemoryLocked))
		if runs != (err == nil) {
			t.Errorf("%x: %d, %v", data, memory, err)
		}
		if err != nil && err.Error() == "" {
			t.Errorf("%x: an error without words", data)
		}
	})
}
