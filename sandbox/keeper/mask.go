package keeper

import (
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/masker"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// nobody runs the masker where the keeper may switch users and has no range of
// its own.
const nobody = 65534

// maskerRetry is the wait after a masker that did not start.
const maskerRetry = time.Second

// startMasker starts the one process that reads what agents print. It runs as
// a user that owns nothing.
func (k *keeper) startMasker() error {
	who := ""
	if k.Users.canSwitch {
		who = wire.FormatUser(nobody, nobody)
		if k.Users.Last != 0 {
			who = wire.FormatUser(k.Users.Last, k.Users.Last)
		}
	}
	m, err := masker.Start(self, who)
	if err != nil {
		return err
	}
	k.masker, k.hello.Masker, k.maskedAt = m, m.Level, time.Now()
	return nil
}

// replaceMasker starts a masker in place of one that died and gives it what
// that one had.
func (k *keeper) replaceMasker() {
	if since := time.Since(k.maskedAt); since < maskerRetry { // one that dies at once would keep us busy
		k.retry = k.maskedAt.Add(maskerRetry)
		return
	}
	if err := k.startMasker(); err != nil {
		complain(err)
		k.retry = time.Now().Add(maskerRetry)
		return
	}
	for _, r := range k.runs {
		if r.masked || r.pipe < 0 || !r.given {
			continue
		}
		r.torn = r.taken
		k.take(r)
		if r.dead {
			k.finishLog(r)
		}
	}
}

// give hands the output of a run to the masker, once its stage has said that the
// fingerprints are written and before it becomes the agent.
func (k *keeper) give(r *run) {
	if r.given || r.masked || len(r.said) == 0 || r.said[0] != wire.Ready {
		return
	}
	r.given = true
	if k.masker != nil { // else the next one gets it
		k.take(r)
	}
}

func (k *keeper) take(r *run) {
	t := &wire.Take{Run: r.id, Max: int64(r.maxLog), Lost: int64(r.lost), Torn: r.torn}
	if r.taken {
		t.Kept = written(r.log)
	}
	r.taken = true
	if err := k.masker.Take(t, r.pipe, r.log, r.prints); err != nil {
		complain(fmt.Errorf("cannot hand an agent's output to the masker: %w", err))
		if k.masker.PID > 0 { // it reads no orders: its end is heard on its socket
			_ = unix.Kill(k.masker.PID, unix.SIGKILL)
		}
	}
}

// written is where a log stands: its offset is shared with every masker.
func written(log int) int64 {
	n, err := unix.Seek(log, 0, io.SeekCurrent)
	if err != nil {
		return 0 // a pipe or a terminal
	}
	return n
}

// hearMasker takes what the masker says.
func (k *keeper) hearMasker(m *masker.Client) {
	if k.masker != m {
		return
	}
	done, ok, err := m.Receive()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			complain(err)
		}
		complain(errors.New("the masker is gone: starting a new one"))
		_ = m.Close()
		if m.PID > 0 { // one that only lost its tongue
			_ = unix.Kill(m.PID, unix.SIGKILL)
		}
		k.masker = nil
		k.replaceMasker()
		return
	}
	if r := k.runs[done.Run]; ok && r != nil && !r.masked {
		r.masked, r.kept, r.lost, r.errno = true, uint64(max(done.Kept, 0)), uint64(max(done.Lost, 0)), done.Errno
		k.advance(r)
	}
}

// How long the masker may take for the rest of a log, and a reader for the rest
// of what a stopped agent printed.
const (
	maskerPatience = 10 * time.Second
	readerPatience = 3 * time.Second
)

// hurryMasker bounds the end of a log. On disk it takes the masker no time: one
// that is stopped or hangs is replaced. A log that is no file waits for its
// reader, exec's pipe or terminal: as long as that takes if the agent ended by
// itself, but nobody waits for a reader when it was stopped.
func (k *keeper) hurryMasker(r *run) {
	var st unix.Stat_t
	onDisk := unix.Fstat(r.log, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
	if !onDisk && r.why == 0 && !k.quit {
		return
	}
	patience := readerPatience
	if onDisk {
		patience = maskerPatience
	}
	if time.Since(r.left) < patience {
		r.due = r.left.Add(patience)
		return
	}
	if onDisk && k.masker != nil && k.masker.PID > 0 && !r.hurried {
		complain(errors.New("the masker does not finish a log: killing it"))
		_ = unix.Kill(k.masker.PID, unix.SIGKILL) // its end is heard on its socket
		r.hurried, r.left = true, time.Now()
		r.due = r.left.Add(maskerPatience)
		return
	}
	r.masked, r.torn = true, true
	k.advance(r)
}

// finishLog tells the masker that a run is dead: a process that escaped may
// hold its pipe open for ever.
func (k *keeper) finishLog(r *run) {
	if r.masked || k.masker == nil {
		return
	}
	if err := k.masker.Finish(r.id); err != nil {
		complain(fmt.Errorf("cannot finish an agent's log: %w", err))
	}
}
