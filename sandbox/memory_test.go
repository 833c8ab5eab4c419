package sandbox_test

import (
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// startUnder starts a stage from a keeper that was started by a thread which
// prepare changed. What a thread gave up its children lack, too; the thread
// ends with this call.
func (h *host) startUnder(t *testing.T, bundle *protocol.Bundle, prepare func() error) *proc {
	t.Helper()
	socket := filepath.Join(publicDir(t), "keeper.sock")
	type result struct {
		k   *sandbox.Keeper
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // never unlocked: the runtime ends the thread
		if err := prepare(); err != nil {
			done <- result{nil, err}
			return
		}
		k, err := sandbox.StartKeeper(h.stage, socket, h.key)
		done <- result{k, err}
	}()
	r := <-done
	if r.err != nil {
		t.Fatal(r.err)
	}
	t.Cleanup(func() { quit(t, r.k) })
	p, err := startOn(r.k, command(environ...), bundle, unconfined())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Cancel)
	return p
}

// denyCall makes the calling thread and its children get ENOSYS for a system
// call, as from a kernel without it.
func denyCall(nr uint32) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // seccomp_data.nr
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}

func denySecretMemory() error { return denyCall(unix.SYS_MEMFD_SECRET) }

// dropLockPrivilege makes root's children subject to RLIMIT_MEMLOCK.
func dropLockPrivilege() error {
	err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_IPC_LOCK, 0, 0, 0)
	if err == unix.EPERM { // an ordinary user has no such privilege
		return nil
	}
	return err
}

func TestKernelWithoutSecretMemory(t *testing.T) {
	h := newHost(t)
	value := strings.Repeat("v", 50_000)
	p := h.startUnder(t, h.seal(t, map[string]string{"TOKEN": value}), denySecretMemory)
	out, _ := finish(t, p)
	if out = bare(t, out); !strings.Contains(out, "TOKEN="+value+"\x00") {
		t.Errorf("no value in %.100q", out)
	}
	if p.Memory != "mlock" {
		t.Errorf("memory %q", p.Memory)
	}
}

func TestTooLittleLockedMemory(t *testing.T) {
	h := newHost(t)
	big := h.seal(t, map[string]string{"TOKEN": strings.Repeat("v", 100_000)})
	for name, test := range map[string]struct {
		prepare func() error
		limit   uint64
		why     string
	}{
		"none at all":                  {dropLockPrivilege, 0, "operation not permitted"},
		"less than the values":         {dropLockPrivilege, 64 << 10, "cannot allocate memory"},
		"none at all, mlock":           {func() error { return errors.Join(dropLockPrivilege(), denySecretMemory()) }, 0, "operation not permitted"},
		"less than the values, mlock ": {func() error { return errors.Join(dropLockPrivilege(), denySecretMemory()) }, 64 << 10, "cannot allocate memory"},
	} {
		t.Run(name, func(t *testing.T) {
			p := h.startUnder(t, big, test.prepare)
			if err := unix.Prlimit(p.PID, unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: test.limit, Max: test.limit}, nil); err != nil {
				t.Fatal(err)
			}
			failure(t, p, "cannot get locked memory: "+test.why+" (is LimitMEMLOCK, see ulimit -l, large enough?)", wire.StepMemory, 125)
		})
	}
}

// TestCoreLimitAlreadyZero: containers and login sessions set the hard limit to
// 0, and an ordinary user cannot raise it to the 1 that the stage wants.
func TestCoreLimitAlreadyZero(t *testing.T) {
	h := newHost(t)
	o := order{Spec: command("/bin/cat", "/proc/self/limits"), Release: true}
	s := h.startElsewhere(t, o, nil, "/bin/sh", "-c", `ulimit -c 0; exec "$@"`, "sh")
	if s.Error != "" {
		t.Fatal(s.Error)
	}
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
			if fields := strings.Fields(rest); fields[0] != "0" || fields[1] != "0" {
				t.Errorf("core limit: %s", rest)
			}
			return
		}
	}
}
