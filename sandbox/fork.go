package sandbox

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// stageEnv keeps the stage small and quiet: one thread to run Go code, no
// collection in its 2 ms, no stack traces.
var stageEnv = []string{"GOMAXPROCS=1", "GOGC=off", "GOTRACEBACK=none"}

// fork starts the stage with exactly the descriptors of package wire.
func (s *Sandbox) fork(spec *LaunchSpec, c *confined, ws *wire.Spec) (_ *Process, err error) {
	f := files{}
	defer f.closeAll()
	child, err := s.childFiles(&f, spec, c, ws)
	if err != nil {
		return nil, err
	}
	output, goPipe, status := f.keep("output"), f.keep("go"), f.keep("status")
	pidfd := -1
	proc, err := os.StartProcess(s.stage, []string{"agent-launcher-stage", "stage"}, &os.ProcAttr{
		Dir:   "/",
		Env:   stageEnv,
		Files: child,
		Sys:   &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	})
	if err != nil {
		_ = errors.Join(output.Close(), goPipe.Close(), status.Close())
		return nil, fmt.Errorf("cannot execute the stage: %w", err)
	}
	p := &Process{PID: proc.Pid, Output: output, Level: c.level, spec: spec, proc: proc, goPipe: goPipe, status: status}
	return p, p.identify(pidfd)
}

// childFiles makes the stage's descriptors 0 to 7, in order.
func (s *Sandbox) childFiles(f *files, spec *LaunchSpec, c *confined, ws *wire.Spec) ([]*os.File, error) {
	data, err := protocol.Marshal(ws)
	if err != nil {
		return nil, fmt.Errorf("cannot encode launch spec: %w", err)
	}
	stdin := f.stdin(spec.Stdin)
	outR, outW := f.pipe()
	specFile := f.memfd("launch-spec", data)
	key := f.open(s.key)
	goR, goW := f.pipe()
	ruleset := c.ruleset
	if ruleset == nil {
		ruleset = f.add(os.Open(os.DevNull)) // to keep the numbers
	}
	statusR, statusW := f.pipe()
	if f.err != nil {
		return nil, f.err
	}
	f.kept = map[string]*os.File{"output": outR, "go": goW, "status": statusR}
	return []*os.File{stdin, outW, outW, specFile, key, goR, ruleset, statusW}, nil
}

// files collects what one launch opens, and the first error.
type files struct {
	all  []*os.File
	kept map[string]*os.File
	err  error
}

func (f *files) add(file *os.File, err error) *os.File {
	if err != nil {
		if f.err == nil {
			f.err = err
		}
		return nil
	}
	f.all = append(f.all, file)
	return file
}

func (f *files) pipe() (r, w *os.File) {
	r, w, err := os.Pipe()
	return f.add(r, err), f.add(w, err)
}

func (f *files) open(path string) *os.File {
	// Not to wait for ever on a FIFO that a typo named.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return f.add(nil, fmt.Errorf("cannot open the host key: %w", err))
	}
	f.add(file, nil)
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return f.add(nil, fmt.Errorf("cannot open the host key: %s is no regular file", path))
	}
	return file
}

func (f *files) stdin(data []byte) *os.File {
	if len(data) == 0 {
		return f.add(os.Open(os.DevNull))
	}
	return f.memfd("stdin", data)
}

// memfd holds data in memory that nobody can change any more: the stage and
// the agent read what was checked here.
func (f *files) memfd(name string, data []byte) *os.File {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return f.add(nil, fmt.Errorf("cannot make a memory file: %w", err))
	}
	file := f.add(os.NewFile(uintptr(fd), name), nil)
	if _, err := file.Write(data); err != nil {
		return f.add(nil, fmt.Errorf("cannot fill a memory file: %w", err))
	}
	if _, err := file.Seek(0, 0); err != nil {
		return f.add(nil, err)
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return f.add(nil, fmt.Errorf("cannot seal a memory file: %w", err))
	}
	return file
}

// keep takes a file out of those that closeAll closes.
func (f *files) keep(name string) *os.File {
	file := f.kept[name]
	for i, x := range f.all {
		if x == file {
			f.all = append(f.all[:i], f.all[i+1:]...)
			break
		}
	}
	return file
}

func (f *files) closeAll() {
	for _, file := range f.all {
		_ = file.Close()
	}
}
