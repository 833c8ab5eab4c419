package sandbox_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/memscan"
	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// raw is a stage that the test itself started over package wire, with a
// status pipe so full that the stage blocks where it says ready: the values
// are in its memory, it has given up everything, and execve comes next.
type raw struct {
	pid    int
	goPipe *os.File
	status int // read end
	ended  bool
}

func (h *host) startRaw(t testing.TB, spec []byte, full bool) *raw {
	t.Helper()
	var goPipe, status [2]int
	for _, p := range []*[2]int{&goPipe, &status} {
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	if full {
		fill(t, status[1])
	}
	specFile := filepath.Join(h.dir, "spec")
	if err := os.WriteFile(specFile, spec, 0o600); err != nil {
		t.Fatal(err)
	}
	files := []uintptr{openFD(t, os.DevNull), 1, 2, openFD(t, specFile), openFD(t, h.key), uintptr(goPipe[0]), openFD(t, os.DevNull), openFD(t, os.DevNull), openFD(t, os.DevNull), memoryFD(t), uintptr(status[1])}
	pid, err := syscall.ForkExec(h.stage, []string{"agent-launcher-stage", "stage"}, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1", "GOGC=off", "GOTRACEBACK=none"}, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	for _, i := range []int{0, 3, 4, 5, 6, 7, 8, 9, 10} { // 1 and 2 are ours
		unix.Close(int(files[i]))
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &raw{pid: pid, goPipe: os.NewFile(uintptr(goPipe[1]), "go"), status: status[0]}
	t.Cleanup(r.end)
	return r
}

func (r *raw) end() {
	if r.ended {
		return
	}
	r.ended = true
	_ = r.goPipe.Close()
	_ = syscall.Kill(r.pid, syscall.SIGKILL)
	_, _ = syscall.Wait4(r.pid, nil, 0, nil)
	unix.Close(r.status)
}

func openFD(t testing.TB, path string) uintptr {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return uintptr(fd)
}

// memoryFD is where a stage writes fingerprints.
func memoryFD(t testing.TB) uintptr {
	t.Helper()
	fd, err := unix.MemfdCreate("fingerprints", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	return uintptr(fd)
}

func fill(t testing.TB, pipe int) {
	t.Helper()
	if err := unix.SetNonblock(pipe, true); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := unix.Write(pipe, make([]byte, 4096)); err == unix.EAGAIN {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.SetNonblock(pipe, false); err != nil {
		t.Fatal(err)
	}
}

// statusFrom reads what the stage wrote until EOF.
func (r *raw) statusFrom(t testing.TB) []byte {
	t.Helper()
	var all []byte
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(r.status, buf)
		if err != nil && err != unix.EINTR {
			t.Fatal(err)
		}
		if n == 0 && err == nil {
			return bytes.TrimLeft(all, "\x00")
		}
		all = append(all, buf[:max(n, 0)]...)
	}
}

// order is what the keeper says at Go.
func (r *raw) order(t testing.TB, o *wire.Orders) error {
	t.Helper()
	data, err := protocol.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.goPipe.Write(append([]byte{wire.Go}, data...))
	return errors.Join(err, r.goPipe.Close())
}

// hold lets the stage go on to where it blocks, and returns the thread that is
// about to call execve: it alone has no_new_privs and the agent's user.
func (r *raw) hold(t testing.TB, as *wire.User) (tid int) {
	t.Helper()
	if err := r.order(t, &wire.Orders{Keeper: os.Getpid(), User: as}); err != nil {
		t.Fatal(err)
	}
	poll(t, "the stage is ready", func() bool {
		threads, _ := filepath.Glob(procPath(r.pid, "task/*/status"))
		for _, path := range threads {
			data, _ := os.ReadFile(path)
			status := procStatus(string(data))
			if status["NoNewPrivs"] == "1" && strings.HasPrefix(status["State"], "S") {
				tid, _ = strconv.Atoi(status["Pid"])
			}
		}
		return tid != 0
	})
	return tid
}

func encode(t testing.TB, spec *wire.Spec) []byte {
	t.Helper()
	data, err := protocol.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func rawSpec(bundle *protocol.Bundle) *wire.Spec {
	return &wire.Spec{
		Version: wire.Version, Paths: []string{"/bin/true"}, Argv: []string{"true"}, Env: []string{}, Dir: "/",
		Rlimits: []wire.Rlimit{}, Bundle: bundle,
	}
}

// TestStageWithValuesInMemory looks at a stage one system call before execve:
// its values are in no memory that even root could read, and neither the
// agent's user nor the launcher's own may look at the rest.
func TestStageWithValuesInMemory(t *testing.T) {
	h := newHost(t)
	user, uid := (*wire.User)(nil), uint32(os.Geteuid())
	if os.Geteuid() == 0 {
		uid = ordinaryUID
		user = &wire.User{UID: uid, GID: uid, Groups: []uint32{}}
	}
	canaries := [][]byte{canary(t), canary(t)}
	bundle := h.seal(t, map[string]string{"A": string(canaries[0]), "B": string(canaries[1])})
	r := h.startRaw(t, encode(t, rawSpec(bundle)), true)
	tid := r.hold(t, user)

	allFail(t, h.attack(t, tid, uid))
	if os.Geteuid() == 0 {
		scan(t, r.pid, canaries)
	}
	if status := string(r.statusFrom(t)); status != string([]byte{wire.Ready, byte(wire.MemorySecret)}) {
		t.Errorf("status %q", status)
	}
}

// canary is a value that lies nowhere else.
func canary(t *testing.T) []byte {
	t.Helper()
	random := make([]byte, 32)
	_, _ = rand.Read(random)
	return []byte("canary-" + hex.EncodeToString(random))
}

func scan(t *testing.T, pid int, canaries [][]byte) {
	t.Helper()
	report, err := memscan.Run(context.Background(), testbin.Build(t).Memscan, memscan.Request{Canaries: canaries, PIDs: []int{pid}})
	if err != nil {
		t.Fatal(err)
	}
	for _, hit := range report.Hits {
		t.Errorf("value %d is %d times in %s (%s)", hit.Canary, hit.Count, hit.Place, hit.Form)
	}
	for _, failure := range report.Errors {
		t.Errorf("%s: %s", failure.Place, failure.Reason)
	}
	if report.Processes != 1 || report.SecretBytes == 0 {
		t.Errorf("%d processes read, %d bytes of secret memory", report.Processes, report.SecretBytes)
	}
}

// TestStageRefusesTheSpec covers what a launcher of another version, or one
// that somebody took over, could hand to the stage.
func TestStageRefusesTheSpec(t *testing.T) {
	h := newHost(t)
	change := func(f func(*wire.Spec)) []byte {
		spec := rawSpec(h.seal(t, map[string]string{"A": "value"}))
		f(spec)
		return encode(t, spec)
	}
	malformed := &wire.Failure{Step: wire.StepSpec, Code: wire.CodeMalformed}
	for name, test := range map[string]struct {
		spec []byte
		want *wire.Failure
	}{
		"another version":  {change(func(s *wire.Spec) { s.Version++ }), malformed},
		"no version":       {change(func(s *wire.Spec) { s.Version = 0 }), malformed},
		"no command":       {change(func(s *wire.Spec) { s.Argv = nil }), malformed},
		"no path":          {change(func(s *wire.Spec) { s.Paths = nil }), malformed},
		"empty":            {nil, malformed},
		"garbage":          {[]byte("garbage"), malformed},
		"trailing":         {append(change(func(*wire.Spec) {}), 0), malformed},
		"too large":        {make([]byte, wire.MaxSpecSize+1), malformed},
		"NUL in argument":  {change(func(s *wire.Spec) { s.Argv = []string{"a\x00b"} }), &wire.Failure{Step: wire.StepExec, Code: uint32(unix.EINVAL)}},
		"NUL in directory": {change(func(s *wire.Spec) { s.Dir = "/\x00" }), &wire.Failure{Step: wire.StepDir, Code: uint32(unix.EINVAL)}},
		"bad rlimit":       {change(func(s *wire.Spec) { s.Rlimits = []wire.Rlimit{{Resource: 99}} }), &wire.Failure{Step: wire.StepRlimits, Code: uint32(unix.EINVAL)}},
		"bad bundle":       {change(func(s *wire.Spec) { s.Bundle.Meta.Refs[0].Length = 0 }), &wire.Failure{Step: wire.StepOpen, Code: wire.CodeMalformed}},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.startRaw(t, test.spec, false)
			_ = r.order(t, &wire.Orders{Keeper: os.Getpid()}) // EPIPE where it failed before
			_, err := wire.DecodeStatus(r.statusFrom(t))
			got, _ := err.(*wire.Failure)
			if got == nil || *got != *test.want {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

// TestNoOrders covers what is no permission: another byte, none, orders that
// are not whole, and those of a keeper that is not the stage's parent.
func TestNoOrders(t *testing.T) {
	h := newHost(t)
	orders, err := protocol.Marshal(&wire.Orders{Keeper: os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := protocol.Marshal(&wire.Orders{Keeper: 1})
	if err != nil {
		t.Fatal(err)
	}
	const step = "cannot hear from the launcher that the run record is on disk: "
	for name, test := range map[string]struct {
		bytes []byte
		want  string
	}{
		"another byte":   {append([]byte{'R'}, orders...), step + "broken pipe"},
		"nothing":        {nil, step + "broken pipe"},
		"no orders":      {[]byte{wire.Go}, step + "it is malformed"},
		"half of them":   {append([]byte{wire.Go}, orders[:len(orders)-1]...), step + "it is malformed"},
		"more":           {append(append([]byte{wire.Go}, orders...), 0), step + "it is malformed"},
		"too long":       {make([]byte, wire.MaxOrders+2), step + "broken pipe"},
		"another keeper": {append([]byte{wire.Go}, foreign...), "cannot find its keeper alive: no such process"},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.startRaw(t, encode(t, rawSpec(nil)), false)
			_, _ = r.goPipe.Write(test.bytes)
			_ = r.goPipe.Close()
			_, err := wire.DecodeStatus(r.statusFrom(t))
			wantError(t, err, test.want)
		})
	}
}

// peakRSS is the stage's own peak in KiB. The rusage of a child will not do:
// until execve the child of a vfork is its parent, whose peak counts.
func (r *raw) peakRSS(t testing.TB) float64 {
	t.Helper()
	data, err := os.ReadFile(procPath(r.pid, "status"))
	if err != nil {
		t.Fatal(err)
	}
	kb, err := strconv.ParseFloat(strings.TrimSuffix(procStatus(string(data))["VmHWM"], " kB"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb
}
