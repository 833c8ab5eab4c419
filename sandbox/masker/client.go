package masker

import (
	"fmt"
	"io"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// startTimeout bounds the wait for a masker's first word, and for its end when
// it has none.
const startTimeout = 5 * time.Second

// orderTimeout bounds the wait for room in the socket. A masker always reads: one
// that does not is stopped or broken.
const orderTimeout = time.Second

// environment keeps the masker small and quiet. Two threads run Go code, so that
// one that has just begun to wait for a log does not hold up the rest. Nothing is
// printed about a crash: the text could quote output. The runtime shall neither
// keep a file open for the CPU limit nor name its memory, which the filter denies.
var environment = []string{"GOMAXPROCS=2", "GOTRACEBACK=none", "GODEBUG=containermaxprocs=0,decoratemappings=0"}

// Client is the keeper's side of a masker that runs. It is used by one goroutine.
type Client struct {
	PID   int    // a child of ours: who starts a masker also reaps it
	Level string // what the kernel enforces on it, for status

	fd int
}

// Start starts the masker of the stage binary exe, as the user UID:GID; empty
// means ours. It waits up to five seconds for the masker to confine itself. If
// that fails, the masker is killed and the error says why; the process is left
// to be reaped.
func Start(exe, who string) (*Client, error) {
	c, err := fork(exe, who)
	if err == nil {
		err = c.hearReady()
	}
	if err != nil {
		if c != nil {
			_ = unix.Kill(c.PID, unix.SIGKILL)
			_ = c.Close()
		}
		return nil, fmt.Errorf("cannot start the masker: %w", err)
	}
	return c, nil
}

func fork(exe, who string) (*Client, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pair[1])
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		_ = unix.Close(pair[0])
		return nil, err
	}
	defer unix.Close(null)
	n := uintptr(null)
	pid, err := syscall.ForkExec(exe, []string{"agent-launcher-stage", "masker", who}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   environment,
		Files: []uintptr{n, n, n, uintptr(pair[1])},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		_ = unix.Close(pair[0])
		return nil, fmt.Errorf("cannot execute %s: %w", exe, err)
	}
	return &Client{PID: pid, fd: pair[0]}, nil
}

func (c *Client) hearReady() error {
	if err := wait(c.fd, unix.POLLIN, startTimeout); err != nil {
		return fmt.Errorf("it does not answer: %w", err)
	}
	report, err := c.read()
	switch {
	case err == io.EOF:
		return fmt.Errorf("it died")
	case err != nil:
		return err
	case report.Failed != nil:
		return &wire.Failure{Step: report.Failed.Step, Code: report.Failed.Code}
	case report.Ready == nil:
		return protocol.ErrMalformed
	}
	c.Level = report.Ready.Level
	return nil
}

// FD is a descriptor for poll(2): with POLLIN or POLLHUP, call Receive.
func (c *Client) FD() int { return c.fd }

// Take gives the masker the output of a run: the read end of its pipe, its log,
// open for writing at the place where the next byte belongs, and the file with
// its fingerprints, which is read from its beginning. All stay open here too. The
// pipe becomes non-blocking, for all who hold this read end. A run id is taken once.
func (c *Client) Take(t *wire.Take, pipe, log, prints int) error {
	if _, err := unix.Seek(prints, 0, io.SeekStart); err != nil {
		return fmt.Errorf("cannot hand over fingerprints: %w", err)
	}
	return c.send(&wire.MaskerOrder{Take: t}, unix.UnixRights(pipe, log, prints))
}

// Finish says that the agent of a run is dead: the masker takes what is in the
// pipe now. Its Done follows as soon as the log has taken that.
func (c *Client) Finish(run string) error {
	return c.send(&wire.MaskerOrder{Finish: &wire.Finish{Run: run}}, nil)
}

func (c *Client) send(order *wire.MaskerOrder, rights []byte) error {
	data, err := protocol.Marshal(order)
	if err != nil {
		return fmt.Errorf("cannot encode an order to the masker: %w", err)
	}
	for {
		err = unix.Sendmsg(c.fd, data, rights, nil, unix.MSG_NOSIGNAL)
		if err == unix.EAGAIN {
			err = wait(c.fd, unix.POLLOUT, orderTimeout)
			if err == nil {
				continue
			}
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("cannot give the masker an order: %w", err)
		}
		return nil
	}
}

// Receive returns the next Done, without waiting: more is false when there is
// none yet. io.EOF means that the masker is gone, any other error that it is not
// to be trusted any more. In both cases kill PID, and start another that takes
// over what is not done.
func (c *Client) Receive() (done wire.Done, more bool, err error) {
	report, err := c.read()
	switch {
	case err == unix.EAGAIN:
		return wire.Done{}, false, nil
	case err != nil:
		return wire.Done{}, false, err
	case report.Done == nil:
		return wire.Done{}, false, fmt.Errorf("the masker sent what is no Done: %w", protocol.ErrMalformed)
	}
	return *report.Done, true, nil
}

// read takes one report. The kernel drops descriptors that come with it, since
// read(2) has no place for them.
func (c *Client) read() (*wire.MaskerReport, error) {
	buf := make([]byte, wire.MaxMaskerMessage+1)
	for {
		n, err := unix.Read(c.fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECONNRESET, err == nil && n == 0:
			return nil, io.EOF
		case err != nil:
			return nil, err
		}
		return wire.DecodeReport(buf[:n])
	}
}

// Close lets go of the masker. It copies on until every pipe has ended.
func (c *Client) Close() error { return unix.Close(c.fd) }

// wait polls fd for events, up to limit.
func wait(fd int, events int16, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(left/time.Millisecond))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n > 0:
			return nil
		case left < time.Millisecond:
			return unix.ETIMEDOUT
		}
	}
}
