package keeper_test

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// lingering is a TCP connection with unsent data, whose close(2) waits.
func lingering(t *testing.T) int {
	t.Helper()
	server, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	t.Cleanup(func() { _ = unix.Close(server) })
	must(t, unix.Bind(server, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(t, unix.Listen(server, 1))
	at, err := unix.Getsockname(server)
	must(t, err)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(t, err)
	must(t, unix.Connect(fd, at))
	must(t, unix.SetNonblock(fd, true))
	for err = nil; err == nil; {
		_, err = unix.Write(fd, make([]byte, 1<<16))
	}
	must(t, unix.SetNonblock(fd, false))
	must(t, unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1, Linger: 1000}))
	return fd
}

// A file whose close(2) waits must not stop the keeper: deadlines of healthy
// agents hold.
func TestFileThatLingers(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	run, _ := l.running(t, launch{shell: "exec sleep 1000", start: wire.Start{TimeoutMS: 1000, GraceMS: 100}})
	fd := lingering(t)
	data, err := protocol.Marshal(&wire.Call{Seq: 1000, Op: wire.OpHello, Version: wire.KeeperVersion})
	must(t, err)
	must(t, l.raw(data, fd))
	go unix.Close(fd) // whoever closes it last waits
	if r := l.ended(run); r.Why != wire.WhyTimeout {
		t.Errorf("%+v", r)
	}
}

func maskerOf(t *testing.T, keeper int) int {
	t.Helper()
	data, err := exec.Command("pgrep", "-P", strconv.Itoa(keeper), "-f", "agent-launcher-stage masker").Output()
	must(t, err)
	pid, err := strconv.Atoi(strings.Fields(string(data))[0])
	must(t, err)
	return pid
}

// A keeper with a masker that hangs ends when it is told to.
func TestEndsWithoutMasker(t *testing.T) {
	t.Parallel()
	k := start(t)
	l, _, _ := k.hello(t)
	l.running(t, launch{shell: "exec sleep 1000", start: wire.Start{GraceMS: 100}})
	pid := maskerOf(t, k.cmd.Process.Pid)
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	must(t, k.cmd.Process.Signal(syscall.SIGTERM))
	poll(t, "the keeper ends", func() bool { return exited(k) })
}

func exited(k *process) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, k.cmd.Process.Pid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	return err != nil || info.Signo != 0
}

// A stage that is stopped while it waits, and whose launcher is gone, holds up
// neither its run nor the keeper's end.
func TestStoppedStageWithoutLauncher(t *testing.T) {
	t.Parallel()
	k := start(t)
	l, _, _ := k.hello(t)
	run, n := l.start(t, launch{shell: "true"})
	_ = l.ask(&wire.Call{Op: wire.OpSignal, Run: run, Signal: uint32(unix.SIGSTOP)})
	t.Cleanup(func() { _ = syscall.Kill(n.Run.PID, syscall.SIGKILL) })
	l.close()
	poll(t, "the keeper has seen it", func() bool {
		l := k.connect(t)
		defer l.close()
		l.send(&wire.Call{Op: wire.OpHello, Version: wire.KeeperVersion})
		n := l.hear()
		return n != nil && n.Error == ""
	})
	must(t, k.cmd.Process.Signal(syscall.SIGTERM))
	poll(t, "the keeper ends", func() bool { return exited(k) })
}

// Without a range, a keeper that is root for another user's launcher would make
// that user root: it does not start.
func TestNoRootForALauncherOfAnotherUser(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	must(t, exec.Command(testbin.Build(t).Stage, "keygen", "--out", dir+"/host.key").Run())
	out, err := exec.Command(testbin.Build(t).Stage, "keeper", "--socket", dir+"/s", "--host-key", dir+"/host.key", "--daemon-user", strconv.Itoa(ordinaryUID)).CombinedOutput()
	if err == nil {
		t.Error("the keeper ran")
	}
	contains(t, string(out), "without --uid-range or --allow-user that user could run agents as anybody")
}

// asUser connects as the ordinary user: its uid counts when connecting.
func asUser(t *testing.T, k *process, f func(l *launcher)) error {
	t.Helper()
	must(t, syscall.Seteuid(ordinaryUID))
	l, _, _ := k.hello(t)
	must(t, syscall.Seteuid(0))
	f(l)
	return nil
}

// A launcher that was taken over raises no limit of the host.
func TestLimitsAreOnlyLowered(t *testing.T) {
	needRoot(t)
	k := start(t, "--uid-range", uidRange)
	l, _, _ := k.hello(t)
	out := k.dir + "/out"
	must(t, os.WriteFile(out, nil, 0o666))
	must(t, os.Chmod(out, 0o666))
	data, err := protocol.Marshal(&wire.Spec{
		Version: wire.Version, Paths: []string{"/bin/sh"}, Argv: []string{"sh", "-c", "chrt -f 99 id -u > " + out + " 2>&1; ulimit -c >> " + out},
		Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Rlimits: []wire.Rlimit{{Resource: unix.RLIMIT_RTPRIO, Soft: 99, Hard: 99}, {Resource: unix.RLIMIT_CORE, Soft: 1 << 40, Hard: 1 << 40}},
	})
	must(t, err)
	fd, err := unix.MemfdCreate("spec", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	must(t, err)
	_, err = unix.Write(fd, data)
	must(t, err)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	must(t, err)
	s := asAgent(t, "", "")
	s.spec = fd
	run, _ := l.running(t, s)
	l.ended(run)
	said, _ := os.ReadFile(out)
	if strings.HasPrefix(string(said), "61184") {
		t.Errorf("an agent runs with real-time priority 99; then its core limit: %q", said)
	}
}

// A launcher of a later version says something more in its hello. Both sides
// learn why nothing works.
func TestHelloOfALaterVersion(t *testing.T) {
	k := start(t)
	l := k.connect(t)
	data, err := protocol.Marshal(map[int]any{1: 1, 2: 1, 6: 2, 99: "new"})
	must(t, err)
	must(t, l.raw(data))
	n := l.hear()
	if n == nil {
		t.Fatal("the keeper hung up without a word about versions")
	}
	contains(t, n.Error, "restart both from one package")
}

// A keeper that has no descriptor left refuses the start. It does not hang up: the
// launcher would take its runs for lost, and kill them when it connects again.
func TestNoDescriptors(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	leaveDescriptors(t, k.cmd.Process.Pid, 2)
	null := open(t, os.DevNull, unix.O_RDWR)
	l.send(&wire.Call{Op: wire.OpStart, Run: "0197f3a0-1111-7222-8333-444455556666", Start: &wire.Start{}}, memfd(t, "true", true), null, null, null, null, null, null)
	if n := l.hear(); n == nil {
		t.Error("the keeper hung up")
	}
}

// leaveDescriptors lets a process open that many files more.
func leaveDescriptors(t *testing.T, pid, free int) {
	t.Helper()
	needRoot(t) // the keeper is non-dumpable
	limit := 0
	for ; free >= 0; limit++ {
		if _, err := os.Lstat("/proc/" + strconv.Itoa(pid) + "/fd/" + strconv.Itoa(limit)); err != nil {
			free--
		}
	}
	var before unix.Rlimit
	must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &before))
	must(t, unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit - 1), Max: before.Max}, nil))
}
