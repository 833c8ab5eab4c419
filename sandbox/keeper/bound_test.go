package keeper_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// A run that is bound ends with its launcher's connection, with all that it
// started, and the next launcher never hears of it. Agents beside it go on.
func TestBound(t *testing.T) {
	for name, shell := range map[string]string{
		"one process":       `echo $$; exec sleep 1000`,
		"a tree":            `(sleep 1000 & echo $!); echo $$; wait; sleep 1000`,
		"away from it":      `setsid sh -c 'echo $$; trap "" TERM HUP; sleep 1000' & echo $$; exec sleep 1000`,
		"daemon by 2 forks": `(setsid sh -c 'sleep 1000 & echo $!' &); echo $$; exec sleep 1000`,
	} {
		t.Run(name, func(t *testing.T) {
			k := start(t)
			l, _, _ := k.hello(t)
			agent, _ := l.running(t, launch{shell: "exec sleep 1000"})
			said := pipe(t)
			bound, _ := l.running(t, launch{files: []int{memfd(t, shell, true), null(t), said.w, null(t), null(t), null(t), null(t)},
				start: wire.Start{Bound: true, Direct: true, GraceMS: 60000}})
			want := 2
			if name == "one process" {
				want = 1
			}
			pids := said.numbers(t, want)
			waiting, n := l.start(t, launch{shell: "true", start: wire.Start{Bound: true}})
			if n.Error != "" {
				t.Fatal(n.Error)
			}
			ended, _ := l.running(t, launch{shell: "exit 3", start: wire.Start{Bound: true}})
			l.ended(ended)
			l.close()
			for _, pid := range append(pids, n.Run.PID) {
				poll(t, fmt.Sprintf("%d is gone", pid), func() bool { return !alive(pid) })
			}
			again, _, left := k.hello(t)
			if len(left) != 1 || left[0].Run != agent || left[0].State != wire.RunRunning {
				t.Errorf("the next launcher hears of %+v", left)
			}
			for _, run := range []string{bound, waiting, ended} {
				contains(t, again.ask(&wire.Call{Op: wire.OpKill, Run: run}).Error, "no such run")
			}
		})
	}
}

// What a direct run prints goes where the launcher says, and it gets no host key:
// nobody looks through its output for values.
func TestDirect(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	out, errs := pipe(t), pipe(t)
	run, _ := l.running(t, launch{files: []int{memfd(t, "echo out; echo err >&2", true), null(t), out.w, null(t), null(t), errs.w, null(t)},
		start: wire.Start{Direct: true}})
	end := l.ended(run)
	if end.Wait != 0 || end.Kept != 0 || end.Torn {
		t.Errorf("%+v", end)
	}
	if o, e := out.line(t), errs.line(t); o != "out\n" || e != "err\n" {
		t.Errorf("stdout %q, stderr %q", o, e)
	}
	waits, n := l.start(t, launch{shell: "true", start: wire.Start{Direct: true}})
	if n.Error != "" {
		t.Fatal(n.Error)
	}
	if os.Geteuid() == 0 { // a stage is non-dumpable
		key, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.Run.PID, wire.FDKey))
		if err != nil || key != os.DevNull {
			t.Errorf("the stage of a direct run has %s for a key, %v", key, err)
		}
	}
	l.ask(&wire.Call{Op: wire.OpKill, Run: waits})
}

// A stopped keeper's launcher may go and a bound run be reaped meanwhile.
func TestBoundEndsMeanwhile(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	_, pid := l.running(t, launch{shell: "exec sleep 1000", start: wire.Start{Bound: true}})
	must(t, k.cmd.Process.Signal(unix.SIGSTOP))
	must(t, unix.Kill(pid, unix.SIGKILL))
	l.close()
	must(t, k.cmd.Process.Signal(unix.SIGCONT))
	poll(t, "the keeper has no run", func() bool {
		again, _, left := k.hello(t)
		defer again.close()
		return len(left) == 0
	})
}

func null(t testing.TB) int { return open(t, os.DevNull, unix.O_RDWR) }

// ends are the two of a pipe.
type ends struct{ r, w int }

func pipe(t testing.TB) ends {
	t.Helper()
	var p [2]int
	must(t, unix.Pipe2(p[:], unix.O_CLOEXEC))
	t.Cleanup(func() { _, _ = unix.Close(p[0]), unix.Close(p[1]) })
	return ends{p[0], p[1]}
}

func (e ends) line(t testing.TB) string {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(e.r), Events: unix.POLLIN}}
	for end := time.Now().Add(deadline); time.Now().Before(end); {
		if n, err := unix.Poll(fds, 1000); err == nil && n == 1 {
			break
		}
	}
	buf := make([]byte, 512)
	n, err := unix.Read(e.r, buf)
	must(t, err)
	return string(buf[:n])
}

// numbers reads that many lines.
func (e ends) numbers(t testing.TB, n int) []int {
	t.Helper()
	var all string
	for strings.Count(all, "\n") < n {
		all += e.line(t)
	}
	pids := make([]int, n)
	for i, f := range strings.Fields(all) {
		if _, err := fmt.Sscan(f, &pids[i]); err != nil {
			t.Fatal(err)
		}
	}
	return pids
}
