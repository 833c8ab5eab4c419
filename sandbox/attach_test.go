package sandbox_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

func TestAttachFindsOnlyTheSame(t *testing.T) {
	h := newHost(t)
	p := h.release(t, "exec sleep 1000")
	a, err := sandbox.Attach(p.PID, p.Start)
	if err != nil {
		t.Fatal(err)
	}
	before := openFiles(t)
	if a.PID != p.PID {
		t.Errorf("pid %d", a.PID)
	}
	for name, other := range map[string]struct {
		pid   int
		start uint64
	}{
		"another start time": {p.PID, p.Start + 1},
		"another process":    {os.Getpid(), p.Start},
		"no process":         {4194304, p.Start}, // PID_MAX_LIMIT
		"pid 0":              {0, 0},
		"pid -1":             {-1, 0},
		"a thread":           {otherThread(), p.Start},
	} {
		if _, err := sandbox.Attach(other.pid, other.start); !errors.Is(err, sandbox.ErrGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d open files, %d before", after, before)
	}
	p.Cancel()
	if _, err := sandbox.Attach(p.PID, p.Start); !errors.Is(err, sandbox.ErrGone) {
		t.Errorf("after its end: %v", err)
	}
	_, _ = a.Wait(withDeadline(t))
}

// otherThread is the id of a thread of ours that does not lead the process.
func otherThread() int {
	entries, _ := os.ReadDir("/proc/self/task")
	for _, e := range entries {
		if tid := atoi(e.Name()); tid != os.Getpid() {
			return tid
		}
	}
	return 0
}

// abandoned is an agent whose launcher was killed, and the numbers that it
// printed in its first line. This process takes the place of init: it becomes
// the parent of the agent, and in the end of the agent's children.
func abandoned(t *testing.T, h *host, shell string) (a *sandbox.Attached, numbers []int) {
	t.Helper()
	subreaper(t)
	s := h.startElsewhere(t, order{Spec: command("sh", "-c", shell), Release: true}, nil)
	if s.Error != "" {
		t.Fatal(s.Error)
	}
	line, err := s.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range strings.Fields(line) {
		numbers = append(numbers, atoi(field))
	}
	s.kill()
	if a, err = sandbox.Attach(s.PID, s.Start); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Signal(syscall.SIGKILL) })
	return a, numbers
}

func subreaper(t *testing.T) {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) })
}

// reap is what init does, for a process that is about to end.
func reap(t *testing.T, pid int) {
	t.Helper()
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			if err != nil {
				t.Errorf("reap: %v", err)
			}
			return
		}
	}
}

func TestAttachedAgentEnds(t *testing.T) {
	if !keepsExit() {
		skip(t, "this kernel keeps no exit status for holders of a pidfd (Linux 6.15)")
	}
	h := newHost(t)
	for name, test := range map[string]struct {
		shell string
		sig   syscall.Signal
		want  string
	}{
		"by itself":   {`trap "exit 42" USR1; echo ready; exec 2>/dev/null; while :; do sleep 0.01; done`, syscall.SIGUSR1, "exit status 42"},
		"by a signal": {`echo ready; exec sleep 1000`, syscall.SIGTERM, "signal: terminated"},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := abandoned(t, h, test.shell)
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := a.Wait(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled: %v", err)
			}
			a.Signal(test.sig)
			reaped := make(chan struct{})
			go func() {
				defer close(reaped)
				reap(t, a.PID)
			}()
			exit, err := a.Wait(withDeadline(t))
			<-reaped
			if err != nil || exit.String() != test.want {
				t.Errorf("%v, %v", exit, err)
			}
			a.Signal(syscall.SIGKILL) // harmless
			if _, err := a.Wait(withDeadline(t)); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("Wait after the end: %v", err)
			}
		})
	}
}

// keepsExit asks for the version: trying it is what the test does.
func keepsExit() bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false
	}
	release := strings.SplitN(unix.ByteSliceToString(name.Release[:]), ".", 3)
	major, minor := atoi(release[0]), atoi(release[1])
	return major > 6 || major == 6 && minor >= 15
}

// TestAttachedNobodyReaps: a container without an init leaves a zombie for
// ever, and its exit status stays unknown.
func TestAttachedNobodyReaps(t *testing.T) {
	t.Parallel() // it takes the whole patience of Wait
	h := newHost(t)
	p := h.release(t, "exec sleep 1000")
	a, err := sandbox.Attach(p.PID, p.Start)
	if err != nil {
		t.Fatal(err)
	}
	a.Signal(syscall.SIGKILL)
	exit, err := a.Wait(withDeadline(t))
	if err != nil || exit.Known || exit.String() != "unknown" {
		t.Errorf("%v, %v", exit, err)
	}
}

// TestAttachedGroupIsKilled: Signal and Wait reach what the agent left running,
// as they do for a child.
func TestAttachedGroupIsKilled(t *testing.T) {
	if !signalsGroups() {
		skip(t, "this kernel cannot signal a process group by its pidfd (Linux 6.9)")
	}
	h := newHost(t)
	a, children := abandoned(t, h, `trap "" HUP TERM; sleep 1000 & a=$!; sleep 1000 & echo $a $!; exec sleep 1000`)
	a.Signal(syscall.SIGTERM)                                    // ignored by all
	if err := syscall.Kill(a.PID, syscall.SIGKILL); err != nil { // the agent alone
		t.Fatal(err)
	}
	reap(t, a.PID)
	if _, err := a.Wait(withDeadline(t)); err != nil {
		t.Fatal(err)
	}
	for _, pid := range children {
		poll(t, "what the agent left running is killed", func() bool {
			got, _ := unix.Wait4(pid, nil, unix.WNOHANG, nil)
			return got == pid
		})
	}
}

func signalsGroups() bool {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.PidfdSendSignal(fd, 0, nil, 1<<2) != unix.EINVAL
}

func TestBootID(t *testing.T) {
	id, err := sandbox.BootID()
	if err != nil || len(id) != 36 {
		t.Errorf("%q, %v", id, err)
	}
	if again, _ := sandbox.BootID(); again != id {
		t.Errorf("%q, then %q", id, again)
	}
}
