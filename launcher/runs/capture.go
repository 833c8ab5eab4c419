package runs

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// MaxLog is how much of a run's output is kept, in bytes.
const MaxLog = 16 << 20

// Capture moves an agent's output from its pipe to its log with splice(2), so
// that no byte of it passes through the daemon's memory. Beyond max bytes, or
// when the disk is full, output is discarded and counted: an agent never
// blocks on its log. It returns when the last writer has closed the pipe or
// after Stop.
type Capture struct {
	pipe *os.File
	log  *os.File
	max  int64
	done chan struct{}

	kept, lost int64
	failed     error // of the log; output is discarded from then on
	err        error // of the pipe
}

// StartCapture begins to move output. It closes pipe at its end, not log.
func StartCapture(pipe, log *os.File, max int64) *Capture {
	c := &Capture{pipe: pipe, log: log, max: max, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = errors.Join(c.run(), c.pipe.Close())
	}()
	return c
}

// Stop ends the capture once the pipe is empty and waits for it: the agent is
// dead, but a process that escaped its group may hold the pipe open for ever.
// It returns how many bytes were kept and lost.
func (c *Capture) Stop() (kept, lost int64, err error) {
	_ = c.pipe.SetReadDeadline(time.Unix(1, 0))
	<-c.done
	return c.kept, c.lost, errors.Join(c.err, c.failed)
}

func (c *Capture) run() error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cannot capture output: %w", err)
	}
	defer null.Close()
	for {
		more, err := c.move(null)
		if !more || err != nil {
			return err
		}
	}
}

// move waits for output and moves what there is. At the deadline that Stop
// sets, it takes what is left without waiting.
func (c *Capture) move(null *os.File) (more bool, err error) {
	n, err := c.splice(null, false)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		n, err = c.splice(null, true)
	}
	return n > 0, err
}

// chunk is how much one splice may move: the size of a pipe.
const chunk = 64 << 10

func (c *Capture) splice(null *os.File, last bool) (n int64, err error) {
	read := func(fd uintptr) bool {
		n, err = c.once(int(fd), null)
		return last || err != unix.EAGAIN
	}
	conn, cerr := c.pipe.SyscallConn()
	if cerr != nil {
		return 0, cerr
	}
	if last { // past the deadline Read fails at once, Control does not
		cerr = conn.Control(func(fd uintptr) { read(fd) })
	} else {
		cerr = conn.Read(read)
	}
	if cerr != nil {
		return 0, cerr
	}
	if err == unix.EAGAIN {
		return 0, nil
	}
	return n, err
}

// once moves up to a chunk from the pipe to the log, or to null when the log
// takes no more.
func (c *Capture) once(fd int, null *os.File) (int64, error) {
	if room := c.max - c.kept; room > 0 {
		n, err := splice(fd, int(c.log.Fd()), &c.kept, int(min(room, chunk)))
		if err == nil || err == unix.EAGAIN {
			return n, err
		}
		// A full disk, or one that failed: this log has ended, the agent has not.
		c.max, c.failed = c.kept, fmt.Errorf("cannot write log: %w", err)
	}
	n, err := splice(fd, int(null.Fd()), nil, chunk)
	c.lost += max(n, 0)
	return n, err
}

// splice moves bytes at offset off, which the kernel advances.
func splice(from, to int, off *int64, size int) (int64, error) {
	for {
		n, err := unix.Splice(from, nil, to, off, size, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if err != unix.EINTR {
			return n, err
		}
	}
}
