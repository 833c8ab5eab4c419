package plugins

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// process is the process of a plugin, as go-plugin's runner.Runner. Options.Start
// makes it; here is what go-plugin and the host need to know of it.
type process struct {
	image     *image
	begin     func(Program) (*Process, error)
	socketDir string   // the only directory it may listen in
	env       []string // complete

	stdout, stderr *os.File
	gone           context.Context // ends when nothing of it lives
	setGone        context.CancelFunc
	ended          time.Time // valid when gone

	mu     sync.Mutex
	proc   *Process // nil: not started
	killed bool     // by us, before it ended by itself
}

func newProcess(img *image, begin func(Program) (*Process, error)) *process {
	p := &process{image: img, begin: begin}
	p.gone, p.setGone = context.WithCancel(context.Background())
	return p
}

// start gives the process two pipes, and the write ends to nobody else.
func (p *process) start() (err error) {
	if p.isKilled() {
		return errors.New("ended before it started")
	}
	var outW, errW *os.File
	if p.stdout, outW, err = os.Pipe(); err != nil {
		return err
	}
	if p.stderr, errW, err = os.Pipe(); err != nil {
		return errors.Join(err, p.stdout.Close(), outW.Close())
	}
	proc, err := p.begin(Program{
		Name: p.image.name, Path: p.image.path, File: p.image.file, Env: p.env, SocketDir: p.socketDir, Stdout: outW, Stderr: errW,
	})
	_ = errors.Join(outW.Close(), errW.Close())
	if err != nil {
		return errors.Join(err, p.stdout.Close(), p.stderr.Close())
	}
	p.mu.Lock()
	p.proc = proc
	p.mu.Unlock()
	if p.isKilled() { // meanwhile
		proc.Kill()
	}
	go p.attend()
	return nil
}

// attend waits for the end. Whoever still holds the other ends of the pipes, a
// process that hangs in the kernel, has a moment to be read.
func (p *process) attend() {
	<-p.proc.Done
	deadline := time.Now().Add(200 * time.Millisecond)
	_ = errors.Join(p.stdout.SetReadDeadline(deadline), p.stderr.SetReadDeadline(deadline))
	p.ended = time.Now()
	p.setGone()
}

// pid is 0 if it was never started.
func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.proc == nil {
		return 0
	}
	return p.proc.PID
}

func (p *process) isKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// kill ends the process with all that it started, or keeps it from starting. It
// does not wait for the end.
func (p *process) kill() {
	p.mu.Lock()
	proc := p.proc
	if p.alive() {
		p.killed = true
	}
	p.mu.Unlock()
	if proc != nil && p.alive() {
		proc.Kill()
	}
}

// alive reports whether the process has not ended.
func (p *process) alive() bool {
	return p.gone.Err() == nil
}

// exit waits at most d for the process to end and says how it did, as in "exit
// status 1"; "" if it has not, or was told to.
func (p *process) exit(d time.Duration) string {
	select {
	case <-p.gone.Done():
	case <-time.After(d):
	}
	if p.alive() {
		return ""
	}
	return p.proc.Exit()
}

// exitByItself says how the process ended, unless we killed it.
func (p *process) exitByItself() string {
	if p.isKilled() {
		return ""
	}
	return p.exit(0)
}
