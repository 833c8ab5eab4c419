package keeper

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/cgroup"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// self is this program, even after an upgrade replaced its file: keeper and
// stage are always of one build.
const self = "/proc/self/exe"

// stageEnv keeps a stage small and quiet: one thread to run Go code, no
// collection in its 2 ms, no stack traces.
var stageEnv = []string{"GOMAXPROCS=1", "GOGC=off", "GOTRACEBACK=none"}

// prepare makes all that a run needs and forks its stage, which then waits.
func (k *keeper) prepare(r *run, s *wire.Start, files []int) error {
	if err := k.missing(s); err != nil {
		return err
	}
	if s.Dirs {
		if err := k.makeDirs(r, s, files); err != nil {
			return err
		}
	}
	if k.cgroups != nil {
		var err error
		limits := cgroup.Limits{Memory: s.Memory, Pids: s.Pids, CPU: float64(s.MilliCPU) / 1000}
		if r.group, err = k.cgroups.Make("run-"+r.id, limits); err != nil {
			return err
		}
	}
	return k.fork(r, files)
}

// fork starts the stage with exactly the descriptors of package wire.
func (k *keeper) fork(r *run, files []int) error {
	var temporary fdList
	defer temporary.close()
	out, goPipe, status, err := temporary.pipes()
	if err != nil {
		return err
	}
	hostKey := k.HostKey
	if r.masked { // whose output nobody looks through gets no secret to print
		hostKey = ""
	}
	key, err := openKey(hostKey)
	if err != nil {
		return err
	}
	defer key.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	procs := null
	if r.group != nil {
		procs = r.group.Procs() // closed with the group
	}
	r.goPipe, r.status = temporary.keep(goPipe[1]), temporary.keep(status[0])
	stdout, stderr, prints := files[wire.StartLog], files[wire.StartStderr], int(null.Fd())
	if !r.masked {
		r.pipe, stdout, stderr = temporary.keep(out[0]), out[1], out[1]
		if r.log, err = dup(files[wire.StartLog]); err != nil {
			return err
		}
		if r.prints, err = memoryFile("fingerprints"); err != nil {
			return err
		}
		prints = r.prints
	}
	stage := []int{files[wire.StartStdin], stdout, stderr, files[wire.StartSpec], int(key.Fd()), goPipe[0],
		files[wire.StartRuleset], int(procs.Fd()), files[wire.StartProgram], prints, status[1]}
	r.pid, err = forkSelf([]string{"stage"}, stage)
	return err
}

// memoryFile is an empty file in memory that can be sealed.
func memoryFile(name string) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return -1, fmt.Errorf("cannot make a memory file: %w", err)
	}
	return fd, nil
}

// forkSelf starts this program in another mode with descriptors 0, 1, 2 ...
func forkSelf(args []string, files []int) (int, error) {
	attr := &syscall.ProcAttr{Dir: "/", Env: stageEnv, Sys: &syscall.SysProcAttr{Setsid: true}}
	for _, fd := range files {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	pid, err := syscall.ForkExec(self, append([]string{"agent-launcher-stage"}, args...), attr)
	if err != nil {
		return 0, fmt.Errorf("cannot execute the stage: %w", err)
	}
	return pid, nil
}

// openKey opens the host key file, which is read by the stage alone. Not to
// wait for ever on a FIFO that a typo named. A keeper without one opens no
// bundle.
func openKey(path string) (*os.File, error) {
	if path == "" {
		return os.Open(os.DevNull)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the host key: %w", err)
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("cannot open the host key: %s is no regular file", path), file.Close())
	}
	return file, nil
}

// fdList holds what is open for one launch only.
type fdList []int

func (l *fdList) pipe() (p [2]int, err error) {
	if err = unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return p, fmt.Errorf("cannot make a pipe: %w", err)
	}
	*l = append(*l, p[0], p[1])
	return p, nil
}

// pipes makes a stage's three: of its output, of Go, of its status. The status
// is read when poll says so; Go takes its few bytes at once.
func (l *fdList) pipes() (out, goPipe, status [2]int, err error) {
	for _, p := range []*[2]int{&out, &goPipe, &status} {
		if *p, err = l.pipe(); err != nil {
			return
		}
	}
	return out, goPipe, status, errors.Join(unix.SetNonblock(out[0], true), unix.SetNonblock(status[0], true))
}

// keep takes fd out of the list.
func (l *fdList) keep(fd int) int {
	for i, x := range *l {
		if x == fd {
			*l = append((*l)[:i], (*l)[i+1:]...)
			break
		}
	}
	return fd
}

func (l *fdList) close() { closeAll(*l) }

func dup(fd int) (int, error) {
	d, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("cannot keep a file: %w", err)
	}
	return d, nil
}
