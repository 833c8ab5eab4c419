package sandbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// Process is a stage that waits, then the agent it became: one pid throughout.
// The keeper is its parent.
type Process struct {
	Run   string // run id
	PID   int
	Level string // what the kernel enforces, for status; empty for what an earlier launcher started

	k     *Keeper
	spec  *LaunchSpec
	uid   uint32
	ended chan struct{}

	mu   sync.Mutex
	now  wire.RunNow
	lost bool // with the keeper
}

func newProcess(k *Keeper, run string) *Process {
	return &Process{Run: run, k: k, spec: &LaunchSpec{}, ended: make(chan struct{})}
}

// Exit is how an agent ended.
type Exit struct {
	Known  bool           // false if it ended with its keeper
	Code   int            // exit status, if it exited
	Signal syscall.Signal // what killed it, 0 if it exited
	Why    string         // what ended it; empty: it ended by itself
	Killed bool           // because it did not end within its grace
	Began  bool           // whether it became the agent at all

	LogBytes int64 // of its output in the log
	LogLost  int64 // beyond the cap, or since the log failed
	LogError error // of the log
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

// whys complete "the agent was ended: ...".
var whys = map[wire.Why]string{
	wire.WhyTimeout: "timed out: timeoutSec is over",
	wire.WhyStop:    "stopped",
	wire.WhyKill:    "killed",
	wire.WhyQuit:    "the keeper was told to end",
	wire.WhyNoGo:    "the launcher was gone before the agent started",
}

var errTorn = errors.New("the masker was replaced: up to 80 KiB of the output may be missing")

func (p *Process) exit() Exit {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost {
		return Exit{Why: ErrKeeperGone.Error(), Began: true}
	}
	n := &p.now
	e := Exit{Known: true, Why: whys[n.Why], Killed: n.Killed && n.Why != wire.WhyKill, LogBytes: int64(n.Kept), LogLost: int64(n.Lost)}
	switch {
	case n.Errno != 0:
		e.LogError = fmt.Errorf("cannot write log: %w", syscall.Errno(n.Errno))
	case n.Torn:
		e.LogError = errTorn
	}
	_, err := wire.DecodeStatus(n.Status)
	e.Began = err == nil
	if ws := syscall.WaitStatus(n.Wait); ws.Signaled() {
		e.Signal = ws.Signal()
	} else {
		e.Code = ws.ExitStatus()
	}
	return e
}

// update takes over what the keeper says.
func (p *Process) update(n *wire.RunNow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.now.State != wire.RunEnded && !p.lost
	p.now = *n
	if p.PID == 0 { // read without a lock once the process is known
		p.PID = n.PID
	}
	if first && n.State == wire.RunEnded {
		close(p.ended)
	}
}

// lose is the end of a run whose keeper is gone.
func (p *Process) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.State != wire.RunEnded && !p.lost {
		p.lost = true
		close(p.ended)
	}
}

// Waits reports whether the process is a stage that waits for Release.
func (p *Process) Waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now.State == wire.RunWaiting
}

// Release lets the stage open the bundle and become the agent, and returns
// once it has, with where the values lay: "memfd_secret" or "mlock". Any error
// names the agent, the step and the cause, and the process is gone.
func (p *Process) Release() (memory string, err error) {
	m, err := p.release()
	if err != nil {
		err = p.explain(err) // before Cancel, whose SIGKILL is not what it died of
		p.Cancel()
		return "", fmt.Errorf("cannot start agent %s: %w", p.spec.Agent, err)
	}
	return map[wire.Memory]string{wire.MemorySecret: "memfd_secret", wire.MemoryLocked: "mlock"}[m], nil
}

func (p *Process) release() (wire.Memory, error) {
	answer, err := p.k.call(&wire.Call{Op: wire.OpGo, Run: p.Run})
	if err != nil {
		return 0, err
	}
	if answer.Run == nil {
		return 0, wire.ErrDied
	}
	return wire.DecodeStatus(answer.Run.Status)
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
	return &StartError{Failure: f, spec: p.spec, uid: p.uid}
}

// Cancel ends a process that was not released, or whatever became of it, at
// once, waits for its end and forgets it.
func (p *Process) Cancel() {
	_ = p.Kill()
	<-p.ended
	p.Forget()
}

// Kill ends the agent and all that it started, without a grace. Wait tells when
// that is done. An error says that the keeper does not do it.
func (p *Process) Kill() error {
	_, err := p.k.call(&wire.Call{Op: wire.OpKill, Run: p.Run})
	return err
}

// Signal sends sig to the agent's process group.
func (p *Process) Signal(sig syscall.Signal) error {
	_, err := p.k.call(&wire.Call{Op: wire.OpSignal, Run: p.Run, Signal: uint32(sig)})
	return err
}

// Stop asks the agent to end: SIGTERM, and after its grace the keeper kills its
// whole tree. Wait tells when that is done. An error says that the keeper does
// not do it.
func (p *Process) Stop() error {
	_, err := p.k.call(&wire.Call{Op: wire.OpStop, Run: p.Run})
	return err
}

// Wait blocks until nothing of the agent lives and its output is written, or
// until ctx ends, whose error it returns then.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-p.ended:
		return p.exit(), nil
	case <-ctx.Done():
		return Exit{}, ctx.Err()
	}
}

// Forget has the keeper forget a run that has ended and is on record.
func (p *Process) Forget() { p.k.forget(p.Run) }
