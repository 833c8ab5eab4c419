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
	k.masker, k.hello.Masker = m, m.Level
	return nil
}

// replaceMasker starts a masker in place of one that died and gives it what
// that one had.
func (k *keeper) replaceMasker() {
	if err := k.startMasker(); err != nil {
		complain(err)
		k.retry = time.Now().Add(maskerRetry)
		return
	}
	for _, r := range k.runs {
		if r.masked || r.pipe < 0 {
			continue
		}
		if err := k.masker.Take(r.id, r.pipe, r.log, int64(r.maxLog), written(r.log), int64(r.lost)); err != nil {
			complain(fmt.Errorf("cannot hand an agent's output to the new masker: %w", err))
		}
		if r.dead {
			k.finishLog(r)
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
		_ = unix.Kill(m.PID, unix.SIGKILL) // one that only lost its tongue
		k.masker = nil
		k.replaceMasker()
		return
	}
	if r := k.runs[done.Run]; ok && r != nil && !r.masked {
		r.masked, r.kept, r.lost, r.errno = true, uint64(max(done.Kept, 0)), uint64(max(done.Lost, 0)), done.Errno
		k.advance(r)
	}
}

// maskerPatience is how long the masker may take for the rest of a log on disk.
const maskerPatience = 10 * time.Second

// hurryMasker replaces a masker that does not finish a log: stopped, or hung.
// A log that is no file may wait for its reader, an exec's terminal.
func (k *keeper) hurryMasker(r *run) {
	var st unix.Stat_t
	if k.masker == nil || unix.Fstat(r.log, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return
	}
	if time.Since(r.left) >= maskerPatience {
		complain(errors.New("the masker does not finish a log: killing it"))
		_ = unix.Kill(k.masker.PID, unix.SIGKILL) // its end is heard on its socket
		r.left = time.Now()
	}
	r.due = r.left.Add(maskerPatience)
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
