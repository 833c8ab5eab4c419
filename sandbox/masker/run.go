package masker

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// run is the output of one run on its way. It has a goroutine of its own: one
// that waits for its pipe costs a few kilobytes, and one that waits for its log
// (a terminal, a pipe that nobody reads) holds up no other.
type run struct {
	pipe   *os.File
	conn   syscall.RawConn
	log    int
	prints int // file with the fingerprints, until they are read
	max    int64

	mask *mask  // nil: there are no values
	torn bool   // an earlier masker had a part of the output
	held []byte // by the mask, in locked memory

	kept, lost int64
	errno      unix.Errno // of the log
}

// newRun takes the files; they stay the caller's if it fails.
func newRun(t *wire.Take, pipe, log, prints int) (*run, error) {
	// The agent's end is another open file and stays as it is.
	if err := unix.SetNonblock(pipe, true); err != nil {
		return nil, err
	}
	r := &run{pipe: os.NewFile(uintptr(pipe), "pipe"), log: log, prints: prints, max: t.Max, kept: t.Kept, lost: t.Lost, torn: t.Torn}
	r.conn, _ = r.pipe.SyscallConn() // fails for a nil file alone
	return r, nil
}

// copy moves output until the pipe ends, or finish is called.
func (r *run) copy(free *buffers) {
	defer unix.Close(r.log)
	defer r.pipe.Close()
	r.know()
	defer r.end()
	for {
		var n int
		var err error
		waited := r.conn.Read(func(fd uintptr) bool {
			n, err = r.move(int(fd), chunk, free)
			return err != unix.EAGAIN
		})
		if waited != nil { // finish ended the waiting
			_ = r.conn.Control(func(fd uintptr) { r.drain(int(fd), free) })
			return
		}
		if n <= 0 || err != nil {
			return
		}
	}
}

// finish ends the waiting for more.
func (r *run) finish() { _ = r.pipe.SetReadDeadline(time.Unix(1, 0)) }

// drain takes what is in the pipe now. Without that bound, a process that
// outlived its agent could write for ever and be copied for ever.
func (r *run) drain(fd int, free *buffers) {
	left, err := unix.IoctlGetInt(fd, fionread)
	if err != nil {
		return
	}
	for left > 0 {
		n, err := r.move(fd, left, free)
		if n <= 0 || err != nil {
			return
		}
		left -= n
	}
}

// move takes at most size bytes from the pipe to the log, without waiting for
// the pipe. The buffer is taken for that time only, and wiped: an agent that
// waits has none, and what it printed does not stay.
func (r *run) move(fd, size int, free *buffers) (n int, err error) {
	buf := free.get()
	defer free.put(buf)
	room := buf[len(r.held):]
	for err = unix.EINTR; err == unix.EINTR; {
		n, err = unix.Read(fd, room[:min(size, chunk)])
	}
	if n > 0 {
		data := buf[:copy(buf, r.held)+n]
		r.take(data)
		clear(data)
	}
	return n, err
}

// take writes output to the log, masked.
func (r *run) take(data []byte) {
	if r.mask == nil {
		r.write(data)
		return
	}
	r.hold(data[r.mask.feed(data, false, r.write):])
}

// write appends p to the log, up to max, and counts the rest as lost. A log
// that failed or lost something has ended: a gap in the middle of a log would be
// worse than an early end that is known.
func (r *run) write(p []byte) {
	for len(p) > 0 && r.errno == 0 && r.lost == 0 {
		part := p
		if r.max > 0 {
			part = p[:min(int64(len(p)), max(r.max-r.kept, 0))]
		}
		if len(part) == 0 {
			break
		}
		n := r.writeSome(part)
		r.kept += int64(n)
		p = p[n:]
	}
	r.lost += int64(len(p))
}

// writeSome waits until the log takes at least a byte, or notes why it does not.
func (r *run) writeSome(p []byte) int {
	for {
		n, err := unix.Write(r.log, p)
		switch {
		case n > 0:
			return n
		case err == unix.EINTR:
		case err == unix.EAGAIN: // somebody else made it non-blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(r.log), Events: unix.POLLOUT}}, -1)
		default:
			r.errno = unix.EIO // a write of nothing, which no log should do
			if errno, ok := err.(unix.Errno); ok {
				r.errno = errno
			}
			return 0
		}
	}
}
