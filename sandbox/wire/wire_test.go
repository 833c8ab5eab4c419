package wire

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

func full() *Spec {
	return &Spec{
		Version: Version,
		Paths:   []string{"/bin/a", "/usr/bin/a"},
		Argv:    []string{"a", "", "üñï"},
		Env:     []string{"A=b", "C="},
		Dir:     "/work",
		Rlimits: []Rlimit{{Resource: 7, Soft: 1, Hard: 1<<64 - 1}},
		Bundle: &protocol.Bundle{
			Meta: protocol.Meta{
				Protocol: 1, BundleID: "b", CompanyID: "c", AgentID: "a", HostID: "h",
				KeyID: make([]byte, protocol.KeyIDSize), Nonce: make([]byte, protocol.NonceSize), ExpiresAt: 1,
				Refs: []protocol.Ref{{Name: "A", SecretID: "s", Version: 1, Length: 1}},
			},
			Sealed: []byte("ciphertext"),
		},
	}
}

func encode(t testing.TB, s *Spec) []byte {
	t.Helper()
	data, err := protocol.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSpecRoundTrip(t *testing.T) {
	least := &Spec{Version: Version, Paths: []string{"/a"}, Argv: []string{"a"}, Env: []string{}, Rlimits: []Rlimit{}}
	for _, want := range []*Spec{full(), least} {
		got, err := DecodeSpec(encode(t, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v\ngot  %+v\nwant %+v", err, got, want)
		}
	}
}

func TestSpecRefused(t *testing.T) {
	change := func(f func(*Spec)) []byte {
		s := full()
		f(s)
		return encode(t, s)
	}
	good := encode(t, full())
	for name, data := range map[string][]byte{
		"empty":           {},
		"another version": change(func(s *Spec) { s.Version = Version + 1 }),
		"no argv":         change(func(s *Spec) { s.Argv = nil }),
		"no paths":        change(func(s *Spec) { s.Paths = []string{} }),
		"not UTF-8":       change(func(s *Spec) { s.Argv[0] = "\xff" }),
		"too many":        change(func(s *Spec) { s.Argv = make([]string, 4097) }),
		"trailing":        append(bytes.Clone(good), 0),
		"truncated":       good[:len(good)-1],
		"unknown field":   append([]byte{good[0] + 1}, append(bytes.Clone(good[1:]), 0x18, 0x63, 0)...),
		"too large":       make([]byte, MaxSpecSize+1),
	} {
		if s, err := DecodeSpec(data); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

func TestStatus(t *testing.T) {
	ready := func(m Memory) string { return string([]byte{Ready, byte(m)}) }
	failed := func(s Step, code uint32) string { return string((&Failure{Step: s, Code: code}).Encode()) }
	for _, test := range []struct {
		name, status string
		memory       Memory
		err          string
	}{
		{"runs", ready(MemorySecret), MemorySecret, ""},
		{"runs, degraded", ready(MemoryLocked), MemoryLocked, ""},
		{"died", "", 0, "the stage died"},
		{"failed early", failed(StepOpen, CodeExpired), 0, "cannot open the bundle: it has expired"},
		{"failed at execve", ready(MemorySecret) + failed(StepExec, uint32(syscall.ENOENT)), MemorySecret, "cannot execute its program: no such file or directory"},
		{"no memory kind", ready(0), 0, "stage wrote 2 unexpected bytes"},
		{"unknown memory kind", ready(9), 0, "stage wrote 2 unexpected bytes"},
		{"half of ready", "R", 0, "stage wrote 1 unexpected bytes"},
		{"half of a failure", failed(StepOpen, 1)[:5], 0, "stage wrote 5 unexpected bytes"},
		{"more than a failure", failed(StepOpen, 1) + "x", 0, "stage wrote 7 unexpected bytes"},
		{"ready and more", ready(MemorySecret) + "x", 0, "stage wrote 1 unexpected bytes"},
		{"twice ready", ready(MemorySecret) + ready(MemorySecret), 0, "stage wrote 2 unexpected bytes"},
		{"something else", "hello", 0, "stage wrote 5 unexpected bytes"},
	} {
		memory, err := DecodeStatus([]byte(test.status))
		text := ""
		if err != nil {
			text = err.Error()
		}
		if memory != test.memory || text != test.err {
			t.Errorf("%s: %d, %q", test.name, memory, text)
		}
	}
	if _, err := DecodeStatus(nil); !errors.Is(err, ErrDied) {
		t.Error("silence is not ErrDied")
	}
}

// TestFailureText: every step and code has words, and none claims to be an
// errno that it is not.
func TestFailureText(t *testing.T) {
	for step := StepCore; step <= StepBug; step++ {
		if text := step.String(); text == "" || strings.HasPrefix(text, "do step") {
			t.Errorf("step %d has no words", step)
		}
	}
	for code := uint32(CodeExpired); code <= CodeKey; code++ {
		f := &Failure{Step: StepOpen, Code: code}
		if strings.Contains(f.Reason(), "errno") || f.Errno() != 0 {
			t.Errorf("code %d: %s, errno %d", code, f.Reason(), f.Errno())
		}
	}
	for want, f := range map[string]*Failure{
		"cannot become its user: operation not permitted":     {StepUser, uint32(syscall.EPERM)},
		"cannot finish: a bug in agent-launcher-stage":        {StepBug, 0},
		"cannot do step 200: no such file or directory":       {200, uint32(syscall.ENOENT)},
		"cannot get locked memory: cannot allocate memory":    {StepMemory, uint32(syscall.ENOMEM)},
		"cannot open the bundle: it is malformed":             {StepOpen, CodeMalformed},
		"cannot read the host key: permission denied":         {StepKey, uint32(syscall.EACCES)},
		"cannot enter its working directory: not a directory": {StepDir, uint32(syscall.ENOTDIR)},
	} {
		if f.Error() != want {
			t.Errorf("got %q, want %q", f.Error(), want)
		}
	}
}
