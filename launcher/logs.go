package launcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// Logs sends an agent's output to a socket, see control.Daemon.
func (d *Daemon) Logs(name string, follow bool) (func(context.Context, *net.UnixConn) error, error) {
	a := d.agents.get(name)
	records, err := d.store.List(name)
	if errors.Is(err, runs.ErrName) {
		return nil, fmt.Errorf("%w: %.70q", control.ErrNoAgent, name)
	}
	if err != nil && len(records) == 0 {
		return nil, err
	}
	if a == nil && len(records) == 0 {
		return nil, fmt.Errorf("%w: %s", control.ErrNoAgent, name)
	}
	return func(ctx context.Context, socket *net.UnixConn) error {
		if last := lastDone(records); last != nil {
			if err := d.send(ctx, last, socket, func() bool { return false }); err != nil {
				return err
			}
		}
		if len(records) == 0 || records[len(records)-1].State.Done() {
			return nil
		}
		current := &records[len(records)-1]
		return d.send(ctx, current, socket, func() bool { return follow && a != nil && a.runs(current.RunID) })
	}, nil
}

// followPause is how often a log is looked at for more while it is followed.
const followPause = 200 * time.Millisecond

// send moves a log into a socket with sendfile(2), in the kernel. While more
// says so it waits for the log to grow.
func (d *Daemon) send(ctx context.Context, rec *runs.Record, socket *net.UnixConn, more func() bool) error {
	log, err := d.store.OpenLog(rec.Agent, rec.RunID)
	if err != nil {
		return fmt.Errorf("cannot read log: %w", err)
	}
	defer log.Close()
	for {
		again := more() // asked first: what is written before the run's end is sent after it
		if err := sendAll(socket, log); err != nil {
			return fmt.Errorf("cannot send log: %w", err)
		}
		if !again {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(followPause):
		}
	}
}

// sendAll sends what there is of the log from its offset on. The socket stays
// in the poller: a peer that reads nothing blocks a goroutine, not a thread.
func sendAll(socket *net.UnixConn, log *os.File) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	for {
		n := 0
		werr := raw.Write(func(fd uintptr) bool {
			n, err = unix.Sendfile(int(fd), int(log.Fd()), nil, 1<<20)
			return err != unix.EAGAIN && err != unix.EINTR
		})
		if werr != nil || err != nil || n == 0 {
			return errors.Join(werr, err)
		}
	}
}

func (a *agent) runs(runID string) bool {
	a.mu.Lock()
	run := a.run
	a.mu.Unlock()
	return run != nil && run.Record().RunID == runID
}
