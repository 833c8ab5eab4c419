package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// patience is how long a program may take to become ready or to end.
const patience = 15 * time.Second

// process is one of the demo's programs, in the background.
type process struct {
	name    string
	logFile string
	cmd     *exec.Cmd
	ended   chan struct{} // closed after Wait
	err     error         // of Wait
}

// start runs a program of d.bin with stdout and stderr in dir/log.
func (d *demo) start(name string, args ...string) (*process, error) {
	p := &process{name: name, logFile: filepath.Join(d.dir, "log", name+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = d.command(context.Background(), name, args...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// A process group of its own: Ctrl-C reaches the demo alone, which stops
	// the others in order.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// command is a program of d.bin in the temporary directory.
func (d *demo) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(d.bin, name), args...)
	cmd.Dir = d.dir
	return cmd
}

// terminate sends SIGTERM and waits. The program must end with 0.
func (p *process) terminate(ctx context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-p.ended:
	case <-ctx.Done():
		return p.fail(fmt.Errorf("%s did not end on SIGTERM", p.name))
	}
	if p.err != nil {
		return p.fail(fmt.Errorf("%s ended badly on SIGTERM: %v", p.name, p.err))
	}
	return nil
}

// killAll leaves nothing behind, whatever happened.
func (d *demo) killAll() {
	for _, p := range []*process{d.daemon, d.controlPlane} {
		if p == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		if p.terminate(ctx) != nil {
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
			<-p.ended
		}
		cancel()
	}
}

// errNotYet is an error that may pass.
var errNotYet = errors.New("not yet")

// until tries every 30 ms until try is done or fails for good, ctx or patience
// ends, or p, the program that it waits for, ends.
func (p *process) until(ctx context.Context, what string, try func(context.Context) (done bool, err error)) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(30 * time.Millisecond)
	defer ticker.Stop()
	for {
		done, err := try(limited)
		switch {
		case done:
			return nil
		case ctx.Err() != nil:
			return errors.New("interrupted")
		case limited.Err() != nil:
			return p.fail(fmt.Errorf("no sign of %s within %v, the last answer: %v", what, patience, err))
		case err != nil && !errors.Is(err, errNotYet):
			return p.fail(err)
		}
		select {
		case <-ticker.C:
		case <-limited.Done():
		case <-p.ended:
			return p.fail(fmt.Errorf("%s ended early: %v", p.name, p.err))
		}
	}
}

// logError is an error with the end of the log of the program at fault.
type logError struct {
	error
	process *process
	lines   []string
}

func (p *process) fail(err error) error { return &logError{error: err, process: p} }

// tailLines of a log are shown after an error.
const tailLines = 15

func (e *logError) read() {
	data, err := os.ReadFile(e.process.logFile)
	if err != nil {
		data = []byte(err.Error())
	}
	e.lines = strings.Split(strings.TrimSpace(string(data)), "\n")
	e.lines = e.lines[max(0, len(e.lines)-tailLines):]
}

func (e *logError) tail() string {
	return fmt.Sprintf("the end of %s's log:\n  %s", e.process.name, strings.Join(e.lines, "\n  "))
}
