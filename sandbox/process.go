package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// Process is a stage that waits, then the agent it became: one pid throughout.
type Process struct {
	PID    int
	Start  uint64   // start time in clock ticks after boot, /proc/PID/stat field 22
	Output *os.File // read end of the agent's stdout and stderr; the caller closes it
	Level  string   // what the kernel enforces, for status
	Memory string   // after Release: where the values lay, "memfd_secret" or "mlock"

	spec   *LaunchSpec
	proc   *os.Process
	pidfd  *pidfd
	goPipe *os.File
	status *os.File

	mu     sync.Mutex
	reaped bool
}

// Exit is how an agent ended.
type Exit struct {
	Known  bool           // false for an adopted process whose status nobody kept
	Code   int            // exit status, if it exited
	Signal syscall.Signal // what killed it, 0 if it exited
}

// String is "exit status 3", "signal: killed" or "unknown".
func (e Exit) String() string {
	switch {
	case !e.Known:
		return "unknown"
	case e.Signal != 0:
		return "signal: " + e.Signal.String()
	}
	return fmt.Sprintf("exit status %d", e.Code)
}

func exitFrom(ws syscall.WaitStatus) Exit {
	if ws.Signaled() {
		return Exit{Known: true, Signal: ws.Signal()}
	}
	return Exit{Known: true, Code: ws.ExitStatus()}
}

func (p *Process) identify(fd int) error {
	if fd < 0 {
		_ = errors.Join(p.goPipe.Close(), p.status.Close(), p.Output.Close(), p.proc.Kill())
		_, err := p.proc.Wait()
		return errors.Join(errors.New("this kernel gives no pidfd: Linux 5.4 or later is needed"), err)
	}
	p.pidfd = newPidfd(fd)
	start, err := startTime(p.PID)
	if err != nil {
		p.Cancel()
		return fmt.Errorf("cannot identify the stage: %w", err)
	}
	p.Start = start
	return nil
}

// releaseTimeout bounds the stage's way from the go byte to execve.
const releaseTimeout = 30 * time.Second

// Release lets the stage open the bundle and become the agent, and returns
// once it has: nil means the agent's program runs. Any error names the agent,
// the step and the cause, and the process is gone.
func (p *Process) Release() error {
	memory, err := p.release()
	if err != nil {
		err = p.explain(err) // before Cancel, whose SIGKILL is not what it died of
		p.Cancel()
		return fmt.Errorf("cannot start agent %s: %w", p.spec.Agent, err)
	}
	p.Memory = map[wire.Memory]string{wire.MemorySecret: "memfd_secret", wire.MemoryLocked: "mlock"}[memory]
	return nil
}

func (p *Process) release() (wire.Memory, error) {
	defer p.status.Close()
	_, err := p.goPipe.Write([]byte{wire.Go})
	_ = p.goPipe.Close()
	if err != nil && !errors.Is(err, syscall.EPIPE) { // after EPIPE the status says why
		return 0, fmt.Errorf("cannot release the stage: %w", err)
	}
	if err := p.status.SetReadDeadline(time.Now().Add(releaseTimeout)); err != nil {
		return 0, err
	}
	status, err := io.ReadAll(io.LimitReader(p.status, 64))
	if err != nil {
		return 0, fmt.Errorf("the stage did not answer within %s", releaseTimeout)
	}
	return wire.DecodeStatus(status)
}

// explain adds what only the starter knows: names instead of errno alone.
func (p *Process) explain(err error) error {
	if errors.Is(err, wire.ErrDied) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		exit, _ := p.Wait(ctx)
		return fmt.Errorf("%w before it became the agent (%s)", err, exit)
	}
	var f *wire.Failure
	if !errors.As(err, &f) {
		return err
	}
	return &StartError{Failure: f, spec: p.spec}
}

// Cancel ends a process that was not released, or whatever became of it, and
// reaps it.
func (p *Process) Cancel() {
	_ = errors.Join(p.goPipe.Close(), p.status.Close())
	p.Signal(syscall.SIGKILL)
	_, _ = p.Wait(context.Background())
	_ = p.Output.Close()
}

// Signal sends sig to the agent's whole process group. It is safe at any time:
// the pid is not reused before Wait has reaped it.
func (p *Process) Signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(-p.PID, sig)
	}
}

// Wait blocks until the agent has exited or ctx ends, kills what is left of
// its process group, and reaps it. Once it is reaped, by this call or another,
// the answer is os.ErrProcessDone.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	if err := p.pidfd.wait(ctx, unix.POLLIN); err != nil {
		if p.isReaped() {
			return Exit{}, os.ErrProcessDone
		}
		return Exit{}, err
	}
	p.Signal(syscall.SIGKILL) // the leader is a zombie: its pid still names the group
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return Exit{}, os.ErrProcessDone
	}
	state, err := p.proc.Wait()
	p.reaped = true
	_ = p.pidfd.close()
	if err != nil {
		return Exit{}, fmt.Errorf("cannot reap pid %d: %w", p.PID, err)
	}
	return exitFrom(state.Sys().(syscall.WaitStatus)), nil
}

func (p *Process) isReaped() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reaped
}
