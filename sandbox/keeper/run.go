package keeper

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/cgroup"
	"github.com/agent-launcher/agent-launcher/sandbox/tree"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// run is one agent process from the fork of its stage until the launcher
// forgets it.
//
//	waiting ── Go ──▶ starting ── "ready" and EOF ──▶ running
//	   │                 │                              │
//	   └────────── the process ends, is reaped ─────────┘
//	                     │ kill what is left of its tree
//	                     │ the masker finishes its log
//	                     ▼
//	                   ended ── Forget ──▶ gone
type run struct {
	id      string
	user    *wire.User
	timeout time.Duration
	grace   time.Duration
	maxLog  uint64
	bound   bool // to the launcher that started it

	pid    int
	goPipe int // write end; -1: closed
	status int // read end; -1: at its end
	pipe   int // read end of its output, for a new masker
	log    int
	prints int // the fingerprints of its values, for a new masker
	base   int // directory of HOME and TMPDIR; -1: none
	group  *cgroup.Group

	state   wire.RunState
	given   bool   // its fingerprints are written, its output is the masker's
	taken   bool   // by a masker
	said    []byte // by the stage, on its status pipe
	goSeq   uint64 // of the Go to answer; 0: none
	why     wire.Why
	killed  bool
	due     time.Time // the deadline, then the end of the grace, then of patience; zero: none
	reaped  bool
	wait    uint32
	left    time.Time // since when its tree has been being killed, then its log finished
	dead    bool      // its tree is
	masked  bool      // its output is written; of a direct run from the start
	kept    uint64
	lost    uint64
	errno   uint32
	hurried bool // its masker was killed, for it did not finish
	torn    bool // a masker died with output in its hands
	orphan  bool // bound, and its launcher is gone: nobody hears of it
}

func newRun(id string, s *wire.Start) *run {
	return &run{
		id: id, user: s.User, maxLog: s.MaxLog, bound: s.Bound, masked: s.Direct, state: wire.RunWaiting,
		timeout: time.Duration(min(s.TimeoutMS, maxMS)) * time.Millisecond,
		grace:   time.Duration(min(s.GraceMS, maxMS)) * time.Millisecond,
		goPipe:  -1, status: -1, pipe: -1, log: -1, prints: -1, base: -1,
	}
}

const maxMS = 1 << 40 // 34 years, and far from an overflow

func (r *run) now() *wire.RunNow {
	return &wire.RunNow{
		Run: r.id, PID: r.pid, State: r.state, Status: r.said, Wait: r.wait, Why: r.why, Killed: r.killed,
		Kept: r.kept, Lost: r.lost, Errno: r.errno, Torn: r.torn,
	}
}

// order sends the Go byte and the orders behind it.
func (r *run) order() error {
	orders, err := protocol.Marshal(&wire.Orders{Keeper: os.Getpid(), User: r.user})
	if err != nil {
		return err
	}
	if len(orders) > wire.MaxOrders {
		return fmt.Errorf("the agent's user has too many groups")
	}
	_, err = unix.Write(r.goPipe, append([]byte{wire.Go}, orders...))
	r.closeGo()
	if err != nil && err != unix.EPIPE { // after EPIPE the status says why
		return fmt.Errorf("cannot release the stage: %w", err)
	}
	return nil
}

func (r *run) closeGo() { r.goPipe = closeFD(r.goPipe) }

// closeFD closes fd if it is one and returns what takes its place.
func closeFD(fd int) int {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
	return -1
}

// hearStage reads what a stage says. The end of the pipe is execve or death.
func (k *keeper) hearStage(r *run) {
	var buf [64]byte
	n, err := unix.Read(r.status, buf[:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if n > 0 && len(r.said)+n <= len(buf) {
		r.said = append(r.said, buf[:n]...)
		k.give(r)
		return
	}
	r.status = closeFD(r.status)
	r.masked = r.masked || !r.given // a stage that died was no agent: what it printed, if anything, nobody wants to see
	if _, err := wire.DecodeStatus(r.said); err == nil && r.state == wire.RunStarting {
		r.state = wire.RunRunning
	}
	if r.goSeq != 0 {
		k.answer(r.goSeq, r)
		r.goSeq = 0
	}
	k.advance(r)
}

// signal reaches the process group of the agent. Until it is reaped, its pid
// is nobody else's.
func (r *run) signal(sig unix.Signal) {
	if !r.reaped {
		_ = unix.Kill(-r.pid, sig)
	}
}

// stop asks the agent to end; its grace runs from now.
func (k *keeper) stop(r *run, why wire.Why) {
	if r.reaped || r.why != 0 {
		return
	}
	r.why = why
	r.closeGo()
	r.signal(unix.SIGTERM)
	r.signal(unix.SIGCONT) // a stopped process would not see the SIGTERM
	r.due = time.Now().Add(r.grace)
}

// kill ends the agent and everything below it.
func (k *keeper) kill(r *run, why wire.Why) {
	if r.reaped {
		return
	}
	if r.why == 0 {
		r.why = why
	}
	r.killed, r.due = true, time.Time{}
	k.spare.free(func() {
		if r.group != nil {
			if err := r.group.Kill(); err != nil {
				complain(err)
			}
			return
		}
		_ = unix.Kill(r.pid, unix.SIGSTOP) // so that it starts nothing while we walk
		if _, err := tree.Kill(r.pid, func(int) bool { return false }); err != nil {
			complain(err)
		}
	})
	_ = unix.Kill(r.pid, unix.SIGKILL)
}

// overdue is called when due is over.
func (k *keeper) overdue(r *run) {
	switch {
	case r.reaped:
		r.due = time.Time{}
		k.advance(r)
	case r.why == 0:
		k.stop(r, wire.WhyTimeout)
	default:
		k.kill(r, r.why)
	}
}

// How long to wait between two looks at a tree that is being killed, and for
// one that does not die: a process that hangs in the kernel must not hold back
// the news of its agent's end.
const (
	lookAgain = 10 * time.Millisecond
	patience  = 5 * time.Second
)

// advance takes a run whose process has ended to its end, as far as it goes.
func (k *keeper) advance(r *run) {
	if !r.reaped || r.status >= 0 || r.state == wire.RunEnded {
		return
	}
	if !r.dead {
		if r.left.IsZero() {
			r.left = time.Now()
		}
		if k.survivors(r) && time.Since(r.left) < patience {
			r.due = time.Now().Add(lookAgain)
			return
		}
		r.dead, r.left = true, time.Now()
		k.finishLog(r)
	}
	if !r.masked {
		k.hurryMasker(r)
		return
	}
	k.close(r)
	r.state = wire.RunEnded
	if r.orphan {
		delete(k.runs, r.id)
		return
	}
	k.answer(0, r)
}

// survivors kills what is left of a run's tree and reports whether anything is.
func (k *keeper) survivors(r *run) (alive bool) {
	k.spare.free(func() {
		if r.group != nil {
			err := r.group.Kill()
			empty, err2 := r.group.Empty()
			if err = errors.Join(err, err2); err != nil {
				complain(err)
			}
			alive = err != nil || !empty
		}
		alive = k.killStrays() || alive
	})
	return alive
}

// close gives back what a run held. Its TMPDIR is emptied by a process of its
// own, which nobody waits for.
func (k *keeper) close(r *run) {
	r.closeGo()
	r.due = time.Time{}
	r.status, r.pipe, r.prints = closeFD(r.status), closeFD(r.pipe), closeFD(r.prints)
	if r.log >= 0 {
		closeAside([]int{r.log})
		r.log = -1
	}
	if r.group != nil {
		if err := r.group.Remove(); err != nil {
			complain(err)
		}
		r.group = nil
	}
	if r.base >= 0 {
		k.sweep(r.base, wire.TmpName(r.id))
		r.base = closeFD(r.base)
	}
}
