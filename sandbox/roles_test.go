package sandbox_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// What the test binary can be, as argv[1].
const (
	roleAgent    = "role-agent"    // prints what it is
	roleStarter  = "role-starter"  // starts an agent, as a launcher of its own
	roleAttacker = "role-attacker" // tries to look into a process
)

// agentFacts is what an agent sees of itself.
type agentFacts struct {
	Args   []string
	Dir    string
	FDs    map[int]int // open descriptors with their status flags
	Stdin  []byte
	UIDs   [3]int // real, effective, saved
	GIDs   [3]int
	Groups []int
}

func beAgent() int {
	f := agentFacts{Args: os.Args[2:], FDs: map[int]int{}}
	for fd := range 4096 { // reading /proc/self/fd would open one more
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil {
			f.FDs[fd] = flags
		}
	}
	f.Dir, _ = os.Getwd()
	f.Stdin, _ = io.ReadAll(os.Stdin)
	f.UIDs[0], f.UIDs[1], f.UIDs[2] = unix.Getresuid()
	f.GIDs[0], f.GIDs[1], f.GIDs[2] = unix.Getresgid()
	f.Groups, _ = unix.Getgroups()
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
		return 1
	}
	return 0
}

// order is what a starter is told, on its stdin.
type order struct {
	Stage, Key string
	Spec       sandbox.LaunchSpec
	Bundle     []byte // CBOR, empty for none
	Policy     sandbox.Policy
	Release    bool // else the stage is left waiting
}

// started is the first line that a starter prints; the agent's output follows.
type started struct {
	PID    int
	Start  uint64
	Memory string
	Error  string
}

func beStarter() int {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := o.start()
	var s started
	if err != nil {
		s.Error = err.Error()
	} else {
		s.PID, s.Start, s.Memory = p.PID, p.Start, p.Memory
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil || p == nil {
		return 1
	}
	if o.Release {
		_, _ = io.Copy(os.Stdout, p.Output)
	}
	for { // until killed
		_ = unix.Pause()
	}
}

func (o *order) start() (*sandbox.Process, error) {
	var bundle *protocol.Bundle
	if len(o.Bundle) > 0 {
		bundle = new(protocol.Bundle)
		if err := protocol.Unmarshal(o.Bundle, len(o.Bundle), bundle); err != nil {
			return nil, err
		}
	}
	p, err := sandbox.New(o.Stage, o.Key).Start(o.Spec, bundle, o.Policy)
	if err != nil || !o.Release {
		return p, err
	}
	return p, p.Release()
}

// starter is a launcher of its own that started an agent.
type starter struct {
	started
	cmd *exec.Cmd
	out *bufio.Reader
}

// startElsewhere has an agent started by a process of its own, as an ordinary
// user. wrap is put before its command line.
func (h *host) startElsewhere(t testing.TB, o order, bundle *protocol.Bundle, wrap ...string) *starter {
	t.Helper()
	if o.Stage = h.stage; o.Key == "" {
		o.Key = h.key
	}
	if bundle != nil {
		var err error
		if o.Bundle, err = protocol.Marshal(bundle); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(wrap, publicSelf(t, h, roleStarter)...)
	s := &starter{cmd: exec.Command(argv[0], argv[1:]...)}
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stderr = asUser(ordinaryUID), "/", os.Stderr
	if os.Geteuid() == 0 {
		if err := os.Chown(h.key, ordinaryUID, ordinaryUID); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, data)
	return s
}

func (s *starter) run(t testing.TB, stdin []byte) {
	t.Helper()
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	if _, err := in.Write(stdin); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	line, err := s.out.ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &s.started) != nil {
		t.Fatalf("starter: %v: %s", err, line)
	}
}

// kill ends the starter as a launcher ends that is killed: without a word.
func (s *starter) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// beAttacker tries everything that reads another process, and prints for each
// attempt how it failed, or "" if it succeeded.
func beAttacker(target string) int {
	runtime.LockOSThread() // a tracer is a thread
	pid, err := strconv.Atoi(target)
	if err != nil {
		return 2
	}
	results := map[string]string{}
	try := func(what string, err error) {
		results[what] = ""
		if err != nil {
			results[what] = err.Error()
		}
	}
	for _, name := range []string{"mem", "environ", "maps", "auxv", "syscall", "fd/3"} {
		f, err := os.Open(procPath(pid, name))
		if err == nil && name != "mem" {
			_, err = f.Read(make([]byte, 1))
			if err == io.EOF {
				err = nil
			}
		}
		try("open "+name, err)
	}
	for _, name := range []string{"exe", "cwd", "fd/0"} {
		_, err := os.Readlink(procPath(pid, name))
		try("readlink "+name, err)
	}
	try("process_vm_readv", readv(pid))
	try("pidfd_getfd", getfd(pid))
	try("ptrace attach", attach(pid))
	try("ptrace seize", seize(pid))
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		return 1
	}
	return 0
}

func procPath(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

func readv(pid int) error {
	buf := make([]byte, 8)
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	// The address is nobody's: EFAULT means that the access itself is granted.
	_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 4096, Len: 8}}, 0)
	if err == unix.EFAULT {
		return nil
	}
	return err
}

func getfd(pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.O_EXCL) // PIDFD_THREAD, Linux 6.9
	if err == unix.EINVAL {
		fd, err = unix.PidfdOpen(pid, 0)
	}
	if err != nil {
		return err
	}
	_, err = unix.PidfdGetfd(fd, 0, 0)
	return err
}

func attach(pid int) error {
	if err := unix.PtraceAttach(pid); err != nil {
		return err
	}
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(pid)
}

func seize(pid int) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// attack has a process of the given user look into pid.
func (h *host) attack(t testing.TB, pid int, uid uint32) map[string]string {
	t.Helper()
	argv := publicSelf(t, h, roleAttacker, strconv.Itoa(pid))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr, cmd.Dir = asUser(uid), "/"
	out, err := cmd.Output()
	results := map[string]string{}
	if err := errors.Join(err, json.Unmarshal(out, &results)); err != nil {
		t.Fatalf("attacker: %v: %s", err, out)
	}
	return results
}
