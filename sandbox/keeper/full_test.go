package keeper_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// Without a descriptor for cgroup.kill and /proc, what a dead agent left is
// still killed: at the latest when there are descriptors again.
func TestNoDescriptorsToKill(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	out := filepath.Join(k.dir, "pid")
	run, _ := l.running(t, launch{shell: "setsid sleep 1000 & echo $! > " + out + "; read x < " + mkfifo(t, k)})
	poll(t, "the agent has a child", func() bool { data, _ := os.ReadFile(out); return len(data) > 1 })
	data, err := os.ReadFile(out)
	must(t, err)
	child, err := strconv.Atoi(strings.TrimSpace(string(data)))
	must(t, err)
	t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
	var before unix.Rlimit
	must(t, unix.Prlimit(k.cmd.Process.Pid, unix.RLIMIT_NOFILE, nil, &before))
	leaveDescriptors(t, k.cmd.Process.Pid, 0)
	must(t, os.WriteFile(filepath.Join(k.dir, "fifo"), []byte("x\n"), 0))
	r := l.ended(run)
	must(t, unix.Prlimit(k.cmd.Process.Pid, unix.RLIMIT_NOFILE, &before, nil))
	if alive(child) && !zombie(child) {
		t.Errorf("the run has ended, %+v, and its child lives", r)
	}
}

func mkfifo(t *testing.T, k *process) string {
	t.Helper()
	path := filepath.Join(k.dir, "fifo")
	must(t, unix.Mkfifo(path, 0o600))
	return path
}

// A connection that cannot be accepted does not make the keeper spin.
func TestNoDescriptorToAccept(t *testing.T) {
	k := start(t)
	_, _, _ = k.hello(t)
	leaveDescriptors(t, k.cmd.Process.Pid, 0)
	_ = k.connect(t)
	before := cpu(t, k.cmd.Process.Pid)
	unix.Select(0, nil, nil, nil, &unix.Timeval{Sec: 2})
	used := cpu(t, k.cmd.Process.Pid) - before
	if used > 50 {
		t.Errorf("the keeper used %d ticks of 10 ms in 2 seconds", used)
	}
}

func cpu(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	must(t, err)
	f := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+2:]))
	u, _ := strconv.Atoi(f[11])
	s, _ := strconv.Atoi(f[12])
	return u + s
}

// News is not lost: a launcher that read nothing for long either hears of every
// end or is hung up.
func TestNewsAfterSilence(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	run, pid := l.running(t, launch{shell: "exec sleep 1000", start: wire.Start{TimeoutMS: 4000, GraceMS: 1}})
	data, err := protocol.Marshal(&wire.Call{Seq: 7777, Op: wire.OpSignal, Run: run, Signal: 18})
	must(t, err)
	for range 12000 {
		if l.raw(data) != nil { // it was hung up
			return
		}
	}
	poll(t, "the agent is dead", func() bool { return !alive(pid) })
	unix.Select(0, nil, nil, nil, &unix.Timeval{Usec: 300000})
	limit := unix.NsecToTimeval(2e9)
	must(t, unix.SetsockoptTimeval(l.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit))
	buf := make([]byte, wire.MaxDatagram)
	for n := 0; ; n++ {
		size, err := unix.Read(l.fd, buf)
		if err == unix.EAGAIN {
			t.Fatalf("after %d notices there is silence: the end of the run was never told", n)
		}
		if err != nil || size == 0 {
			return
		}
		notice, err := wire.DecodeNotice(buf[:size])
		must(t, err)
		if notice.Run != nil && notice.Run.State == wire.RunEnded {
			return
		}
	}
}

// The uid of the launcher and those of accounts are no agent's, whatever range
// an operator types.
func TestRangeHoldsTheLauncher(t *testing.T) {
	needRoot(t)
	for name, c := range map[string]struct{ uids, daemon string }{
		"the launcher's": {"54000-55000", strconv.Itoa(ordinaryUID)}, "an account's": {"1-1000", "54321"},
	} {
		t.Run(name, func(t *testing.T) {
			k := start(t, "--daemon-user", c.daemon, "--uid-range", c.uids)
			uid := uint32(ordinaryUID)
			if name == "an account's" {
				uid = 2 // bin
			}
			must(t, asUser(t, k, func(l *launcher) {
				if _, n := l.start(t, launch{shell: "true", start: wire.Start{User: &wire.User{UID: uid, GID: uid, Groups: []uint32{}}}}); n.Error == "" {
					t.Errorf("the keeper starts an agent as uid %d", uid)
				}
			}))
		})
	}
}
