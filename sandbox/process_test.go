package sandbox_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
	"github.com/agent-launcher/agent-launcher/sandbox/tree"
)

// pidsOf reads one line of numbers from an agent's output and takes hold of
// the processes, so that no reused number can deceive the test.
func pidsOf(t *testing.T, p *proc) []int {
	t.Helper()
	line, err := bufio.NewReader(p.Output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for _, field := range strings.Fields(line) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, pidfdOf(t, pid))
	}
	return fds
}

// pidfdOf takes hold of a process; -1: it is no more.
func pidfdOf(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func dead(fd int) bool {
	if fd < 0 {
		return true
	}
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n == 1
}

// release starts an agent that prints the pids of its children in one line.
func (h *host) release(t *testing.T, shell string) *proc {
	t.Helper()
	p := h.start(t, command("sh", "-c", shell), nil)
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWaitKillsTheRestOfTheGroup(t *testing.T) {
	h := newHost(t)
	p := h.release(t, `trap "" HUP TERM INT; sleep 1000 & a=$!; sleep 1000 & echo $a $!; read x; exit 7`)
	// stdin is /dev/null: the agent is about to exit, its children are not.
	children := pidsOf(t, p)
	exit, err := p.Wait(withDeadline(t))
	if err != nil || exit.Code != 7 || !exit.Known {
		t.Errorf("%v, %v", exit, err)
	}
	if len(children) != 2 {
		t.Fatalf("%d children", len(children))
	}
	for _, fd := range children {
		poll(t, "a child in the background is killed", func() bool { return dead(fd) })
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	h := newHost(t)
	p := h.release(t, `sleep 1000 & a=$!; sleep 1000 & echo $a $!; wait`)
	children := pidsOf(t, p)
	_ = p.Signal(syscall.SIGTERM)
	for _, fd := range children {
		poll(t, "a child gets the signal", func() bool { return dead(fd) })
	}
	exit, err := p.Wait(withDeadline(t))
	if err != nil || exit.Signal != syscall.SIGTERM {
		t.Errorf("%v, %v", exit, err)
	}
}

func TestWaitAndItsContext(t *testing.T) {
	h := newHost(t)
	p := h.release(t, "exec sleep 1000")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 3 {
		if _, err := p.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	}
	short, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if _, err := p.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("timed out: %v", err)
	}
	_ = p.Signal(syscall.SIGKILL)
	exit, err := p.Wait(withDeadline(t))
	if err != nil || exit.String() != "signal: killed" {
		t.Errorf("%v, %v", exit, err)
	}
	if again, err := p.Wait(withDeadline(t)); err != nil || again.String() != "signal: killed" {
		t.Errorf("Wait after the end: %v, %v", again, err)
	}
	_ = p.Signal(syscall.SIGKILL) // harmless: its number may be another's now
}

// TestManyWaitersOfOne: waiters do not disturb one another when one gives up,
// and all others learn the exit.
func TestManyWaitersOfOne(t *testing.T) {
	h := newHost(t)
	p := h.release(t, "exec sleep 1000")
	const waiters = 8
	results := make(chan error, 2*waiters)
	var gaveUp sync.WaitGroup
	for i := range waiters {
		short, cancel := context.WithTimeout(context.Background(), time.Duration(i)*time.Millisecond)
		defer cancel()
		gaveUp.Go(func() {
			if _, err := p.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("gave up: %v", err)
			}
		})
		go func() {
			_, err := p.Wait(context.Background())
			results <- err
		}()
	}
	gaveUp.Wait()
	_ = p.Signal(syscall.SIGTERM)
	for range waiters {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestHundredAtOnce: no descriptor, no zombie and no goroutine stays.
func TestHundredAtOnce(t *testing.T) {
	h := newHost(t)
	bundle := h.seal(t, map[string]string{"TOKEN": "value"})
	h.must(t, command("/bin/true"), bundle) // whatever is opened once is open now
	before, keepers := openFiles(t, os.Getpid()), keeperFiles(t, h.Keeper)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			if err := h.launch(i, bundle); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	noneLeft(t, h.Keeper, before, keepers)
}

// launch runs one agent to its end; one in five is cancelled, one in five fails.
func (h *host) launch(i int, bundle *protocol.Bundle) error {
	spec := command("/bin/cat", "/proc/self/environ")
	if i%5 == 1 {
		spec.Argv[0] = "/nonexistent"
	}
	p, err := h.Start(spec, bundle, unconfined())
	if err != nil {
		return err
	}
	if i%5 == 0 {
		p.Cancel()
		return nil
	}
	if err := p.Release(); err != nil {
		if i%5 == 1 {
			return p.Output.Close()
		}
		return err
	}
	buf := make([]byte, 4096)
	n, err := p.Output.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), "TOKEN=value\x00") {
		return errors.Join(err, errors.New("no value arrived"))
	}
	_, err = p.Wait(context.Background())
	p.Forget()
	return errors.Join(err, p.Output.Close())
}

func openFiles(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(procPath(pid, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// noneLeft checks that there are no more open files than before and that no
// agent or stage is left with the keeper.
func noneLeft(t *testing.T, k *sandbox.Keeper, before, keepers int) {
	t.Helper()
	if after := openFiles(t, os.Getpid()); after > before {
		names, _ := os.ReadDir("/proc/self/fd")
		for _, n := range names {
			target, _ := os.Readlink("/proc/self/fd/" + n.Name())
			t.Log(n.Name(), target)
		}
		t.Errorf("%d open files, %d before", after, before)
	}
	poll(t, "only the masker is below the keeper", func() bool {
		below, err := tree.Below(k.PID())
		return err == nil && len(below) == 1
	})
	poll(t, "the keeper has no more open files than before", func() bool { return keeperFiles(t, k) <= keepers })
}
