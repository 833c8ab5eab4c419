package plugins

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is the process of a plugin, as go-plugin's runner.Runner. It differs
// from go-plugin's own in what it keeps from the plugin and in how it ends:
//
//   - the plugin gets /dev/null, two pipes, the given environment and nothing
//     else: descriptors that the daemon itself inherited stay behind;
//   - it leads a process group, which is killed with it;
//   - it dies with the daemon, however that ends: the kernel sends SIGKILL when
//     the thread that forked it ends (PR_SET_PDEATHSIG), so one thread is kept
//     for it. A plugin that means harm can clear that and can leave its group:
//     against it stands the cgroup of the daemon's unit;
//   - children of it that keep its pipes open do not keep the daemon waiting.
type process struct {
	image     *image
	socketDir string   // the only directory it may listen in
	env       []string // complete

	cmd            *exec.Cmd
	stdout, stderr *os.File
	pid            int
	gone           context.Context // ends when it was reaped and its group killed
	setGone        context.CancelFunc
	ended          time.Time // valid when gone, as is waitErr
	waitErr        error

	mu     sync.Mutex
	state  state
	killed bool // by us, before it ended by itself
}

type state int

const (
	notStarted state = iota
	running
	reaped
)

func newProcess(img *image) *process {
	p := &process{image: img}
	p.gone, p.setGone = context.WithCancel(context.Background())
	return p
}

// run is the life of the process, on a thread of its own. The thread is never
// unlocked and so ends with run.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	err := p.fork()
	started <- err
	if err != nil {
		return
	}
	waitExit(p.pid)
	p.mu.Lock()
	_ = unix.Kill(-p.pid, unix.SIGKILL) // not reaped yet: the number is still its
	p.waitErr = p.cmd.Wait()
	p.state = reaped
	p.mu.Unlock()
	// Whoever still holds the other ends has this long to be read.
	deadline := time.Now().Add(200 * time.Millisecond)
	_ = errors.Join(p.stdout.SetReadDeadline(deadline), p.stderr.SetReadDeadline(deadline))
	p.ended = time.Now()
	p.setGone()
}

func (p *process) fork() error {
	// For this thread and its children: no set-user-ID program helps a plugin,
	// and none makes the kernel drop the parent death signal.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot set no_new_privs: %w", err)
	}
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("cannot keep descriptors from the plugin: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close() // the plugin has its own
	stdout, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	stderr, errW, err := os.Pipe()
	if err != nil {
		return errors.Join(err, stdout.Close(), outW.Close())
	}
	p.cmd = &exec.Cmd{
		Path:        p.image.path,
		Args:        []string{p.image.name},
		Env:         p.env,
		Dir:         "/",
		Stdin:       null,
		Stdout:      outW,
		Stderr:      errW,
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}
	err = p.launch()
	_ = errors.Join(outW.Close(), errW.Close())
	if err != nil {
		return errors.Join(err, stdout.Close(), stderr.Close())
	}
	p.stdout, p.stderr = stdout, stderr
	return nil
}

func (p *process) launch() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return errors.New("ended before it started")
	}
	if p.image.file != nil {
		program, err := p.aside()
		if err != nil {
			return err
		}
		defer program.Close() // the process has its own
		p.cmd.Path = fmt.Sprintf("/proc/self/fd/%d", program.Fd())
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	p.pid, p.state = p.cmd.Process.Pid, running
	return nil
}

// aside duplicates the program's descriptor to a number that the child does
// not need for anything else: between fork and exec, os/exec moves its own to
// the few numbers behind the highest that it was given. The exec closes it.
func (p *process) aside() (*os.File, error) {
	least := 0
	for _, f := range []any{p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr} {
		least = max(least, int(f.(*os.File).Fd()))
	}
	fd, err := unix.FcntlInt(p.image.file.Fd(), unix.F_DUPFD_CLOEXEC, least+16)
	if err != nil {
		return nil, fmt.Errorf("cannot hand over the program: %w", err)
	}
	return os.NewFile(uintptr(fd), p.image.name), nil
}

// waitExit returns when the process is a zombie.
func waitExit(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// kill ends the process and its group, or keeps it from starting. It does not
// wait for the end.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == reaped {
		return
	}
	p.killed = true
	if p.state == running {
		_ = unix.Kill(-p.pid, unix.SIGKILL)
	}
}

// alive reports whether the process has not ended.
func (p *process) alive() bool {
	return p.gone.Err() == nil
}

// exit waits at most d for the process to end and says how it did, as in "exit
// status 1"; "" if it has not.
func (p *process) exit(d time.Duration) string {
	select {
	case <-p.gone.Done():
	case <-time.After(d):
	}
	if p.alive() {
		return ""
	}
	return p.cmd.ProcessState.String()
}

// exitByItself says how the process ended, unless we killed it.
func (p *process) exitByItself() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return ""
	}
	return p.exit(0)
}
