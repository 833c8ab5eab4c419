// Package masker is the one process that reads what agents print. It is an
// unprivileged child of the keeper, for all runs: it gets each run's pipe and
// log, and moves every byte from one to the other through its own memory, where
// values are masked: package wire has the fingerprints by which it knows them.
//
// It confines itself before it is given anything: it can open, connect to and
// execute nothing. Main is the process, Client is the keeper's side.
package masker

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// failed is the exit code of a masker that could not confine itself or has no
// keeper, as that of a stage.
const failed = 125

// Main is the whole life of a masker, which becomes the user UID:GID; empty:
// stays who it is. It never returns: it exits when the keeper is gone and the
// last pipe has ended.
func Main(who string) {
	ignoreSignals()
	level, failure := confine(who)
	if failure != nil {
		report := &wire.MaskerReport{Failed: &wire.MaskerFailed{Step: failure.Step, Code: failure.Code}}
		if data, err := protocol.Marshal(report); err == nil {
			_, _ = unix.Write(wire.FDKeeper, data)
		}
		unix.Exit(failed)
	}
	m, err := newMasker()
	if err != nil || m.send(&wire.MaskerReport{Ready: &wire.MaskerReady{Level: level}}) != nil {
		unix.Exit(failed)
	}
	for m.obey() {
	}
	m.copying.Wait()
	unix.Exit(0)
}

type masker struct {
	keeper  syscall.RawConn
	free    buffers
	copying sync.WaitGroup

	mu   sync.Mutex
	runs map[string]*run
}

func newMasker() (*masker, error) {
	if err := unix.SetNonblock(wire.FDKeeper, true); err != nil {
		return nil, err
	}
	keeper, err := os.NewFile(wire.FDKeeper, "keeper").SyscallConn()
	return &masker{keeper: keeper, free: newBuffers(), runs: map[string]*run{}}, err
}

// send waits as long as the keeper does not read. Only who has nothing else to
// do may call it: the loop of obey must go on reading, or both would wait.
func (m *masker) send(report *wire.MaskerReport) error {
	data, err := protocol.Marshal(report)
	if err != nil {
		return err
	}
	werr := m.keeper.Write(func(fd uintptr) bool {
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Sendmsg(int(fd), data, nil, nil, unix.MSG_NOSIGNAL)
		}
		return err != unix.EAGAIN
	})
	return errors.Join(err, werr)
}

func (m *masker) done(d wire.Done) { _ = m.send(&wire.MaskerReport{Done: &d}) }

// obey follows one order; false means that there is no keeper any more. What is
// not an order is dropped, and with it the fds that came along.
func (m *masker) obey() bool {
	data, fds, err := m.receive()
	if err != nil {
		return false
	}
	order, err := wire.DecodeOrder(data)
	switch {
	case err != nil:
		closeAll(fds)
	case order.Take != nil:
		m.take(order.Take, fds)
	default:
		closeAll(fds)
		m.finish(order.Finish.Run)
	}
	return true
}

// take begins to copy. An order that cannot be followed is done at once, so
// that every Take has its Done.
func (m *masker) take(t *wire.Take, fds []int) {
	refuse := func(errno unix.Errno) {
		closeAll(fds)
		go m.done(wire.Done{Run: t.Run, Kept: t.Kept, Lost: t.Lost, Errno: uint32(errno)})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(fds) != 3 { // too many files are open, or the keeper is wrong
		refuse(unix.EMFILE)
		return
	}
	if m.runs[t.Run] != nil {
		refuse(unix.EEXIST)
		return
	}
	r, err := newRun(t, fds[0], fds[1], fds[2])
	if err != nil {
		refuse(unix.EBADF)
		return
	}
	m.runs[t.Run] = r
	m.copying.Go(func() { m.copy(t.Run, r) })
}

func (m *masker) copy(id string, r *run) {
	r.copy(&m.free)
	// Forgotten only after Done: a Finish that crosses it must not be answered
	// first, with zeros.
	m.done(wire.Done{Run: id, Kept: r.kept, Lost: r.lost, Errno: uint32(r.errno)})
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.runs, id)
}

func (m *masker) finish(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.runs[id]; r != nil {
		r.finish()
		return
	}
	go m.done(wire.Done{Run: id})
}
