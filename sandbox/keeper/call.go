package keeper

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// call does what the launcher asks. An error is the answer.
func (k *keeper) call(c *wire.Call, files []int) error {
	switch c.Op {
	case wire.OpHello:
		return k.takeOver(c)
	case wire.OpStart:
		return k.start(c, files)
	case wire.OpQuit:
		k.stopAll()
		k.answer(c.Seq, nil)
		return nil
	}
	r := k.runs[c.Run]
	if r == nil || r.orphan {
		return errors.New("the keeper has no such run")
	}
	switch c.Op {
	case wire.OpGo:
		return k.release(r, c.Seq) // answered when the stage has spoken
	case wire.OpSignal:
		if c.Signal < 1 || c.Signal > 64 {
			return fmt.Errorf("no signal has the number %d", c.Signal)
		}
		r.signal(unix.Signal(c.Signal))
	case wire.OpStop:
		k.stop(r, wire.WhyStop)
	case wire.OpKill:
		k.kill(r, wire.WhyKill)
	case wire.OpForget:
		if r.state != wire.RunEnded {
			return errors.New("the run has not ended")
		}
		delete(k.runs, r.id)
	}
	k.answer(c.Seq, nil)
	return nil
}

func (k *keeper) answer(seq uint64, r *run) {
	if k.conn == nil {
		return
	}
	n := &wire.Notice{Seq: seq}
	if r != nil {
		n.Run = r.now()
	}
	k.conn.send(n)
}

// takeOver tells a launcher what goes on.
func (k *keeper) takeOver(c *wire.Call) error {
	if c.Version != wire.KeeperVersion {
		return fmt.Errorf("the keeper speaks version %d, the launcher version %d: restart both from one package", wire.KeeperVersion, c.Version)
	}
	for _, r := range k.runs {
		if !r.orphan {
			k.answer(0, r)
		}
	}
	k.conn.send(&wire.Notice{Seq: c.Seq, Hello: &k.hello})
	return nil
}

// start forks the stage of a run. Whatever fails leaves nothing behind.
func (k *keeper) start(c *wire.Call, files []int) error {
	switch {
	case k.quit:
		return errors.New("the keeper is ending")
	case len(files) != wire.StartFiles:
		return fmt.Errorf("%d files came with the call, not %d", len(files), wire.StartFiles)
	case k.runs[c.Run] != nil:
		return errors.New("the keeper has this run already")
	case k.masker == nil:
		return errors.New("the masker does not run: nothing would read the agent's output")
	}
	if err := k.Users.check(c.Start.User, k.Daemon); err != nil {
		return err
	}
	if err := sealed(files[wire.StartSpec]); err != nil {
		return err
	}
	r := newRun(c.Run, c.Start)
	if err := k.prepare(r, c.Start, files); err != nil {
		k.close(r)
		return err
	}
	k.runs[r.id] = r
	k.answer(c.Seq, r)
	return nil
}

// sealed refuses a launch spec that its sender could still change.
func sealed(fd int) error {
	const want = unix.F_SEAL_WRITE | unix.F_SEAL_GROW | unix.F_SEAL_SHRINK
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || seals&want != want {
		return errors.New("the launch spec is not sealed against change")
	}
	return nil
}

// release gives the stage its orders.
func (k *keeper) release(r *run, seq uint64) error {
	switch {
	case r.status < 0 && r.state != wire.RunRunning: // it waited too long, or was killed: the stage has said which
		k.answer(seq, r)
		return nil
	case r.state != wire.RunWaiting || r.goPipe < 0:
		return errors.New("the run does not wait for permission")
	}
	if err := r.order(); err != nil {
		return err
	}
	r.state, r.goSeq = wire.RunStarting, seq
	if r.timeout > 0 {
		r.due = time.Now().Add(r.timeout)
	}
	return nil
}

// missing is an error for cgroup limits that nobody would enforce.
func (k *keeper) missing(s *wire.Start) error {
	var lack []string
	for _, l := range []struct {
		name  string
		limit uint64
	}{{"memory", s.Memory}, {"pids", s.Pids}, {"cpu", s.MilliCPU}} {
		if l.limit > 0 && !slices.Contains(k.hello.Controllers, l.name) {
			lack = append(lack, l.name)
		}
	}
	if len(lack) > 0 {
		return fmt.Errorf("no cgroup here can limit %s", strings.Join(lack, ", "))
	}
	return nil
}
