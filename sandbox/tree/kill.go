package tree

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A walk that meets new processes goes on for this long. The caller has other
// things to do, and can call again.
const (
	stopBudget = 500 * time.Millisecond
	killBudget = 2 * time.Second
)

// ErrGrowing: when the time was up, new processes still appeared. Call again.
var ErrGrowing = errors.New("cannot kill a process tree: new processes appear as fast as they are killed")

// Kill kills all descendants of root, but not those for which spare holds, nor
// what is below them, nor the caller. It returns how many it sent SIGKILL, and
// does not wait for their end: a process with SIGKILL pending forks no more.
//
// root itself is not touched and must not fork meanwhile: let it be the caller,
// or stopped, or killed (then walk below the subreaper that inherits). Its
// number must not be free: root is the caller or an unreaped child.
//
// All are stopped before the first is killed: the stopped ones keep their
// places in RLIMIT_NPROC, so a fork bomb comes to rest at its limit instead of
// refilling what was killed. SIGCONT among them cannot save them: what
// is found while killing is killed at once.
//
// Errors: ErrGrowing; EPERM of a process that we may not kill; /proc or pidfds
// cannot be used.
func Kill(root int, spare func(pid int) bool) (killed int, err error) {
	if root <= 0 {
		return 0, fmt.Errorf("cannot kill a process tree: no process has number %d", root)
	}
	self := os.Getpid()
	k := killer{root: root, spare: func(pid int) bool { return pid == self || spare != nil && spare(pid) }}
	if _, err := k.send(unix.SIGSTOP, 1, stopBudget); err != nil {
		return 0, err
	}
	return k.send(unix.SIGKILL, 2, killBudget)
}

type killer struct {
	root  int
	spare func(pid int) bool
}

// send signals everybody once, until as many walks in a row as quiet says met
// nobody new. One walk can miss a process: numbers may wrap around in it.
func (k *killer) send(sig unix.Signal, quiet int, budget time.Duration) (sent int, err error) {
	r := round{killer: k, sig: sig, done: map[int]uint64{}}
	end := time.Now().Add(budget)
	for calm := 0; calm < quiet; calm++ {
		fresh, err := r.do()
		if err != nil {
			return r.sent, err
		}
		if fresh {
			calm = -1
		}
		if fresh && time.Now().After(end) {
			if sig == unix.SIGKILL {
				return r.sent, ErrGrowing
			}
			break
		}
	}
	return r.sent, r.err
}

// round is the state of one signal's rounds.
type round struct {
	*killer
	sig   unix.Signal
	walk  walk
	done  map[int]uint64 // by pid, the start of who got the signal, or cannot get it
	sent  int
	fresh bool
	err   error // the first one
}

func (r *round) do() (fresh bool, err error) {
	r.fresh = false
	r.walk = walk{root: r.root, spare: r.spare, found: r.signal}
	unsure, err := r.walk.do()
	return r.fresh || unsure, err
}

func (r *round) signal(p process) {
	if start, done := r.done[p.pid]; !p.alive() || done && start == p.start {
		return
	}
	r.fresh = true
	err := r.deliver(p)
	switch err {
	case nil:
		r.sent++
		r.done[p.pid] = p.start
	case unix.ESRCH: // gone, or it moved: the next walk will tell
	default:
		r.done[p.pid] = p.start
		if r.err == nil {
			r.err = fmt.Errorf("cannot signal process %d: %w", p.pid, err)
		}
	}
}

// deliver signals p through a pidfd, after a look at whose child the process
// behind it is: nobody else is ever hit, whatever became of the number.
func (r *round) deliver(p process) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		if err == unix.EINVAL || err == unix.ENOENT { // the number is a thread's now
			return unix.ESRCH
		}
		return err
	}
	defer unix.Close(fd)
	for range 3 { // its parent may end between two looks
		again, err := read(p.pid)
		if err != nil || again.start != p.start {
			return unix.ESRCH
		}
		if r.ours(again.ppid) {
			return unix.PidfdSendSignal(fd, r.sig, nil, 0)
		}
	}
	return unix.ESRCH
}

// ours reports whether the process by that number is root or still the one that
// this walk found below it.
func (r *round) ours(ppid int) bool {
	if ppid == r.root {
		return true
	}
	parent, err := read(ppid)
	return err == nil && r.walk.below[ppid] && r.walk.all[ppid].start == parent.start
}
