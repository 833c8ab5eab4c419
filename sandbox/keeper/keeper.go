// Package keeper is the parent of every agent. It opens the host key file and
// hands it on, forks stages, reaps them, enforces deadlines and kills trees; it
// keeps all this while the launcher is replaced. Package wire has its protocol.
//
// It decodes calls and nothing else: no bundle, no launch spec, no output of an
// agent. One goroutine has all the state and waits in poll(2).
package keeper

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/harden"
	"github.com/agent-launcher/agent-launcher/sandbox/cgroup"
	"github.com/agent-launcher/agent-launcher/sandbox/masker"
	"github.com/agent-launcher/agent-launcher/sandbox/tree"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// Options are a keeper's.
type Options struct {
	Socket  string // its unix socket, made with mode 0600 for Daemon
	HostKey string // the host key file, opened for each launch, never read; empty: no agent here has secrets
	Daemon  uint32 // uid of the launcher, the only one that may call
	Users   Users  // whom it starts agents as
	Once    bool   // ends with its first launcher: exec's, and check's
}

type keeper struct {
	Options
	listen   int
	signals  int         // readable after a signal
	told     atomic.Bool // that it shall end, by a signal
	conn     *conn
	masker   *masker.Client
	retry    time.Time // when a masker that did not start is tried again; zero: never
	deaf     time.Time // until when no launcher is let in, for want of files; zero: now
	tidyAt   time.Time // when memory is given back; zero: it was
	maskedAt time.Time // when the masker was started
	cgroups  *cgroup.Root
	hello    wire.Hello
	runs     map[string]*run
	sweeps   map[int]*sweep // by pid
	spare    spares
	lonely   time.Time // when a keeper with Once that nobody has called ends; zero: somebody has, or it never does
	quit     bool
	endBy    time.Time // when a keeper that ends waits no longer; zero: something runs
}

// Main is a keeper's life. It returns once it was told to end and nothing
// lives any more; an error says why it could not begin. ready is called when it
// serves.
func Main(o Options, ready func()) error {
	// Stages die with the thread that forked them, see the stage's dieWith.
	runtime.LockOSThread()
	// It is one goroutine: caches for 64 processors are worth nothing. More
	// collections are not either (measured): each leaves the runtime more of its own
	// data, and tidy gives back what a burst needed.
	runtime.GOMAXPROCS(1)
	k := &keeper{Options: o, conn: nil, runs: map[string]*run{}, sweeps: map[int]*sweep{}}
	if err := k.begin(); err != nil {
		return err
	}
	ready()
	for !k.done() {
		if err := k.turn(); err != nil {
			return err
		}
	}
	k.end()
	return nil
}

func (k *keeper) begin() error {
	if err := errors.Join(harden.LimitCores(), harden.NotDumpable()); err != nil {
		return fmt.Errorf("cannot close the keeper to its neighbours: %w", err)
	}
	unix.Umask(0o077)
	// What an agent abandons becomes our child, to be killed with its run.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("cannot become a child subreaper: %w", err)
	}
	key, err := openKey(k.HostKey)
	if err != nil {
		return err
	}
	_ = key.Close()
	if err := k.notifySignals(); err != nil {
		return err
	}
	k.hello = wire.Hello{
		Version: wire.KeeperVersion, PID: os.Getpid(), UID: uint32(os.Geteuid()), Switch: k.Users.canSwitch,
		First: k.Users.First, Last: k.Users.Last, Controllers: []string{},
	}
	if k.cgroups, err = cgroup.Open(); err != nil {
		k.hello.NoCgroup = err.Error()
		if err := tree.Visible(); err != nil { // then trees are walked
			k.hello.NoCgroup += "; " + err.Error()
		}
	} else {
		k.hello.Cgroup, k.hello.Controllers = k.cgroups.Path(), append([]string{}, k.cgroups.Controllers()...)
	}
	if err := k.startMasker(); err != nil {
		return errors.Join(err, k.closeCgroups())
	}
	if k.listen, err = listen(k.Socket, k.Daemon); err != nil {
		return errors.Join(err, k.closeCgroups())
	}
	if k.Once {
		k.lonely = time.Now().Add(lonelyFor)
	}
	k.spare.fill()
	return nil
}

// lonelyFor is how long a keeper with Once waits for its launcher.
const lonelyFor = 30 * time.Second

// notifySignals has signals make a pipe readable, for poll. None can be lost: the
// one that is not delivered finds one of its kind in the channel before it, and a
// full pipe wakes as well as one byte more.
func (k *keeper) notifySignals() error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("cannot make a pipe: %w", err)
	}
	k.signals = p[0]
	child, end := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(child, syscall.SIGCHLD)
	signal.Notify(end, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // a stderr that nobody reads any more does not end the keeper
	signal.Ignore(syscall.SIGHUP)                           // a terminal's end, or a reload meant for the launcher
	go func() {
		for {
			select {
			case <-child:
			case <-end:
				k.told.Store(true)
			}
			_, _ = unix.Write(p[1], []byte{0})
		}
	}()
	return nil
}

// turn waits for one of everything that can happen and handles what did.
func (k *keeper) turn() error {
	fds := []unix.PollFd{{Fd: int32(k.signals), Events: unix.POLLIN}}
	handle := []func(){k.signaled}
	watch := func(fd int, events int16, f func()) {
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: events})
		handle = append(handle, f)
	}
	if c := k.conn; c != nil { // before listen: an end makes room for the next
		watch(c.fd, c.events(), func() { k.talk(c) })
	}
	if k.deaf.IsZero() {
		watch(k.listen, unix.POLLIN, k.accept)
	}
	if m := k.masker; m != nil {
		watch(m.FD(), unix.POLLIN, func() { k.hearMasker(m) })
	}
	for _, r := range k.runs {
		if r.status >= 0 {
			watch(r.status, unix.POLLIN, func() { k.hearStage(r) })
		}
	}
	n, err := unix.Poll(fds, k.timeout())
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("cannot wait for events: %w", err)
	}
	k.tidy(n > 0)
	for i := range fds {
		if fds[i].Revents != 0 {
			handle[i]()
		}
	}
	if k.conn != nil && k.conn.broken {
		k.hangUp()
	}
	k.expire(time.Now())
	return nil
}

// calm is how long nothing happens before the keeper gives memory back.
const calm = time.Second

// tidy returns memory to the system once it is calm: the keeper lives for
// months, and what a burst of launches needed is needed by others then.
func (k *keeper) tidy(busy bool) {
	switch {
	case busy:
		k.tidyAt = time.Now().Add(calm)
	case !k.tidyAt.IsZero() && !time.Now().Before(k.tidyAt):
		k.tidyAt = time.Time{}
		debug.FreeOSMemory()
	}
}

// timeout is how long poll may wait, in milliseconds; -1: for ever.
func (k *keeper) timeout() int {
	next := k.retry
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	earlier(k.tidyAt)
	earlier(k.deaf)
	if !k.quit {
		earlier(k.lonely)
	}
	earlier(k.endBy)
	for _, r := range k.runs {
		earlier(r.due)
	}
	if next.IsZero() {
		return -1
	}
	return int(max(0, time.Until(next)+time.Millisecond-1) / time.Millisecond)
}

// expire does what has become due: the end of deadlines, graces and patience.
func (k *keeper) expire(now time.Time) {
	if now.After(k.deaf) {
		k.deaf = time.Time{}
	}
	if !k.lonely.IsZero() && now.After(k.lonely) && !k.quit {
		k.stopAll()
	}
	if !k.retry.IsZero() && !now.Before(k.retry) {
		k.retry = time.Time{}
		k.replaceMasker()
	}
	for _, r := range k.runs {
		if !r.due.IsZero() && !now.Before(r.due) {
			k.overdue(r)
		}
	}
}

// signaled drains the pipe, and then looks at what signals are about.
func (k *keeper) signaled() {
	var buf [64]byte
	_, _ = unix.Read(k.signals, buf[:])
	if k.told.Swap(false) {
		k.stopAll()
	}
	k.reap()
}

// stopAll ends every run with its grace, and then the keeper.
func (k *keeper) stopAll() {
	k.quit = true
	for _, r := range k.runs {
		k.stop(r, wire.WhyQuit)
	}
}

// sweepPatience is how long a keeper that ends waits for TMPDIRs to be emptied.
// What is left then is emptied before the agent's next run.
const sweepPatience = 2 * time.Second

func (k *keeper) done() bool {
	if !k.quit {
		return false
	}
	for _, r := range k.runs {
		if r.state != wire.RunEnded {
			return false
		}
	}
	if k.endBy.IsZero() {
		k.endBy = time.Now().Add(sweepPatience)
	}
	return len(k.sweeps) == 0 || !time.Now().Before(k.endBy)
}

func (k *keeper) end() {
	if k.conn != nil {
		k.conn.flush()
	}
	for pid := range k.sweeps {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	_ = os.Remove(k.Socket)
	if k.masker != nil {
		_ = k.masker.Close()
		if k.masker.PID > 0 { // all that it still has are logs that were given up
			_ = unix.Kill(k.masker.PID, unix.SIGKILL)
		}
	}
	if err := k.closeCgroups(); err != nil {
		complain(err)
	}
}

func (k *keeper) closeCgroups() error {
	if k.cgroups == nil {
		return nil
	}
	return k.cgroups.Close()
}

// complain is for who reads the unit's journal. It never holds a value.
func complain(err error) { fmt.Fprintln(os.Stderr, "agent-launcher: keeper:", err) }
