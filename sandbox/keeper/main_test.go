package keeper_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

func TestMain(m *testing.M) { testbin.Main(m) }

// deadline is how long a test waits for what takes milliseconds.
const deadline = 15 * time.Second

// ordinaryUID is nobody's, without an entry in passwd.
const ordinaryUID = 54321

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be the keeper of other users")
	}
}

// process is a real keeper.
type process struct {
	cmd    *exec.Cmd
	dir    string // every user may enter it
	socket string
}

// start runs a keeper with more arguments and waits until it serves.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-launcher-keeper-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o711))
	k := &process{dir: dir, socket: filepath.Join(dir, "keeper.sock")}
	key := filepath.Join(dir, "host.key")
	must(t, exec.Command(testbin.Build(t).Stage, "keygen", "--out", key).Run())
	k.cmd = exec.Command(testbin.Build(t).Stage, append([]string{"keeper", "--socket", k.socket, "--host-key", key}, args...)...)
	k.cmd.Env, k.cmd.Stderr = []string{}, os.Stderr
	out, err := k.cmd.StdoutPipe()
	must(t, err)
	must(t, k.cmd.Start())
	t.Cleanup(func() { _ = k.cmd.Process.Kill(); _ = k.cmd.Wait() })
	ready := make([]byte, 6)
	if n, err := out.Read(ready); string(ready[:n]) != "ready\n" {
		t.Fatalf("the keeper said %q, %v", ready[:n], err)
	}
	return k
}

// launcher is a connection that says what it likes.
type launcher struct {
	t   testing.TB
	fd  int
	seq uint64
}

func (k *process) connect(t testing.TB) *launcher {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(fd, &unix.SockaddrUnix{Name: k.socket}))
	limit := unix.NsecToTimeval(deadline.Nanoseconds())
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	l := &launcher{t: t, fd: fd}
	t.Cleanup(l.close)
	return l
}

func (l *launcher) close() {
	if l.fd >= 0 {
		_ = unix.Close(l.fd)
		l.fd = -1
	}
}

// hello introduces the launcher; the runs that it takes over come first.
func (k *process) hello(t testing.TB) (*launcher, *wire.Hello, []*wire.RunNow) {
	t.Helper()
	l := k.connect(t)
	l.send(&wire.Call{Op: wire.OpHello, Version: wire.KeeperVersion})
	var left []*wire.RunNow
	for {
		n := l.hear()
		if n.Seq != 0 {
			if n.Hello == nil {
				t.Fatalf("no hello: %s", n.Error)
			}
			return l, n.Hello, left
		}
		left = append(left, n.Run)
	}
}

func (l *launcher) raw(data []byte, files ...int) error {
	var rights []byte
	if len(files) > 0 {
		rights = unix.UnixRights(files...)
	}
	return unix.Sendmsg(l.fd, data, rights, nil, unix.MSG_NOSIGNAL)
}

func (l *launcher) send(c *wire.Call, files ...int) {
	l.t.Helper()
	l.seq++
	c.Seq = l.seq
	data, err := protocol.Marshal(c)
	must(l.t, err)
	must(l.t, l.raw(data, files...))
}

// hear reads one notice; nil is the end of the connection.
func (l *launcher) hear() *wire.Notice {
	l.t.Helper()
	buf := make([]byte, wire.MaxDatagram+1)
	n, err := unix.Read(l.fd, buf)
	for err == unix.EINTR {
		n, err = unix.Read(l.fd, buf)
	}
	if err == unix.ECONNRESET || err == nil && n == 0 {
		return nil
	}
	must(l.t, err)
	notice, err := wire.DecodeNotice(buf[:n])
	must(l.t, err)
	return notice
}

// ask returns the answer to a call, past what happened meanwhile.
func (l *launcher) ask(c *wire.Call, files ...int) *wire.Notice {
	l.t.Helper()
	l.send(c, files...)
	for {
		n := l.hear()
		if n == nil {
			l.t.Fatal("the keeper hung up")
		}
		if n.Seq == l.seq {
			return n
		}
	}
}

// ended waits for the end of a run.
func (l *launcher) ended(run string) *wire.RunNow {
	l.t.Helper()
	for {
		n := l.hear()
		if n == nil {
			l.t.Fatal("the keeper hung up")
		}
		if n.Run != nil && n.Run.Run == run && n.Run.State == wire.RunEnded {
			return n.Run
		}
	}
}

// launch is what a start needs. Zero fields are filled with what works.
type launch struct {
	shell string
	start wire.Start
	spec  int // 0: sealed, of shell
	base  string
	files []int // the first of them, /dev/null the others; nil: of the above
}

func (l *launcher) start(t testing.TB, s launch) (run string, answer *wire.Notice) {
	t.Helper()
	run = uuid.NewString()
	return run, l.startAs(t, run, s)
}

func (l *launcher) startAs(t testing.TB, run string, s launch) *wire.Notice {
	t.Helper()
	files, null := s.files, open(t, os.DevNull, unix.O_RDWR)
	if files == nil {
		spec := s.spec
		if spec == 0 {
			spec = memfd(t, s.shell, true)
		}
		base := null
		if s.base != "" {
			base, s.start.Dirs = open(t, s.base, unix.O_PATH|unix.O_DIRECTORY), true
		}
		files = []int{spec, null, null, null, base}
	}
	for files = slices.Clone(files); len(files) < wire.StartFiles; {
		files = append(files, null)
	}
	return l.ask(&wire.Call{Op: wire.OpStart, Run: run, Start: &s.start}, files...)
}

// running starts a shell and lets it run.
func (l *launcher) running(t testing.TB, s launch) (run string, pid int) {
	t.Helper()
	run, n := l.start(t, s)
	if n.Error != "" {
		t.Fatal(n.Error)
	}
	said := l.ask(&wire.Call{Op: wire.OpGo, Run: run})
	if said.Error != "" || said.Run == nil {
		t.Fatalf("%+v", said)
	}
	if _, err := wire.DecodeStatus(said.Run.Status); err != nil {
		t.Fatal(err)
	}
	return run, n.Run.PID
}

func open(t testing.TB, path string, flags int) int {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// memfd is the launch spec of a shell command.
func memfd(t testing.TB, shell string, sealed bool) int {
	t.Helper()
	data, err := protocol.Marshal(&wire.Spec{
		Version: wire.Version, Paths: []string{"/bin/sh"}, Argv: []string{"sh", "-c", shell},
		Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Rlimits: []wire.Rlimit{},
	})
	must(t, err)
	fd, err := unix.MemfdCreate("spec", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(fd) })
	_, err = unix.Write(fd, data)
	must(t, err)
	if sealed {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
		must(t, err)
	}
	return fd
}

// poll waits until done, for what nobody tells.
func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, deadline)
		}
	}
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contains(t testing.TB, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}
