package sandbox

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// TmpName is the name of the directory below Places.Base/tmp that is the TMPDIR
// of a run.
func TmpName(run string) string { return wire.TmpName(run) }

// launch hands the keeper the files and bounds of a run.
func (k *Keeper) launch(spec *LaunchSpec, c *confined, ws *wire.Spec) (*Process, error) {
	var f files
	defer f.close()
	data, err := protocol.Marshal(ws)
	if err != nil {
		return nil, fmt.Errorf("cannot encode launch spec: %w", err)
	}
	call := &wire.Call{Op: wire.OpStart, Run: spec.Run, Start: &wire.Start{
		User:      c.user,
		TimeoutMS: milliseconds(spec.Timeout), GraceMS: milliseconds(spec.Grace), MaxLog: uint64(spec.MaxLog),
		Dirs: spec.Places.Base != "", HomeRights: c.home, TmpRights: c.tmp,
		Memory: c.limits.Memory, Pids: c.limits.Pids, MilliCPU: uint64(c.limits.CPU * 1000),
	}}
	send := []*os.File{ // in the order of package wire
		f.memfd("launch-spec", data),
		f.stdin(spec.Stdin),
		f.orNull(spec.Log, os.O_WRONLY),
		f.orNull(c.ruleset, os.O_RDONLY),
		f.base(spec.Places.Base),
		f.orNull(nil, os.O_WRONLY),
		f.orNull(nil, os.O_RDONLY),
	}
	if p := spec.plugin; p != nil {
		call.Start.Direct, call.Start.Bound = true, true
		send[wire.StartLog], send[wire.StartStderr] = p.Stdout, p.Stderr
		if p.Program != nil {
			send[wire.StartProgram] = p.Program
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	answer, err := k.call(call, send...)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.runs[spec.Run]
	if p == nil || answer.Run == nil {
		return nil, errors.New("the keeper did not name the process")
	}
	p.spec, p.Level, p.uid = spec, c.level, k.hello.UID
	if c.user != nil {
		p.uid = c.user.UID
	}
	return p, nil
}

// milliseconds rounds up: less than one is not none.
func milliseconds(d time.Duration) uint64 {
	return uint64((max(d, 0) + time.Millisecond - 1) / time.Millisecond)
}

// files collects what is open for one launch, and the first error.
type files struct {
	all []*os.File
	err error
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

func (f *files) orNull(file *os.File, mode int) *os.File {
	if file != nil {
		return file
	}
	return f.add(os.OpenFile(os.DevNull, mode, 0))
}

func (f *files) stdin(data []byte) *os.File {
	if len(data) == 0 {
		return f.orNull(nil, os.O_RDONLY)
	}
	return f.memfd("stdin", data)
}

// base opens the directory in which the keeper makes HOME and TMPDIR.
func (f *files) base(dir string) *os.File {
	if dir == "" {
		return f.orNull(nil, os.O_RDONLY)
	}
	file, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		err = fmt.Errorf("cannot open the agent's directories: %w", err)
	}
	return f.add(file, err)
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

func (f *files) close() {
	for _, file := range f.all {
		_ = file.Close()
	}
}
