package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// ErrKeeperGone says that the connection to the keeper ended. Its agents ended
// with it, if the keeper itself is dead.
var ErrKeeperGone = errors.New("the keeper is gone")

// ErrKeeperBusy says that another launcher is connected to the keeper.
var ErrKeeperBusy = errors.New("another launcher is connected to the keeper")

// How long an answer of the keeper may take: it does one thing after the other,
// and some start processes or wait for a stage's way from Go to execve.
const (
	answerTimeout = 10 * time.Second
	startTimeout  = 30 * time.Second
)

func patience(op wire.Op) time.Duration {
	if op == wire.OpStart || op == wire.OpGo {
		return startTimeout
	}
	return answerTimeout
}

// Keeper is a launcher's connection to the keeper, the parent of all agents.
type Keeper struct {
	conn  *net.UnixConn
	hello wire.Hello
	left  []*Process // of an earlier launcher
	gone  chan struct{}
	child *child // nil: somebody else started it

	filters filters

	mu      sync.Mutex
	seq     uint64
	calls   map[uint64]chan *wire.Notice
	runs    map[string]*Process
	refused error // why the keeper does not serve us
}

// Dial connects to the keeper at socket and takes its runs over. The error says
// whether nobody answers there or it refuses this launcher.
func Dial(socket string) (*Keeper, error) {
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: socket, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("cannot reach the keeper: %w", err)
	}
	k := &Keeper{conn: conn, gone: make(chan struct{}), calls: map[uint64]chan *wire.Notice{}, runs: map[string]*Process{}}
	go k.listen()
	answer, err := k.call(&wire.Call{Op: wire.OpHello, Version: wire.KeeperVersion})
	if err == nil && answer.Hello == nil {
		err = errors.New("it did not introduce itself")
	}
	if err != nil {
		k.Close()
		return nil, fmt.Errorf("cannot use the keeper at %s: %w", socket, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hello = *answer.Hello
	for _, p := range k.runs {
		k.left = append(k.left, p)
	}
	return k, nil
}

// Left are the runs that an earlier launcher started, those that have ended
// meanwhile among them.
func (k *Keeper) Left() []*Process { return k.left }

// Gone is closed when the connection has ended.
func (k *Keeper) Gone() <-chan struct{} { return k.gone }

// PID is the keeper's.
func (k *Keeper) PID() int { return k.hello.PID }

// Masker says what confines the masker.
func (k *Keeper) Masker() string { return k.hello.Masker }

// Close ends the connection. Agents run on, deadlines hold.
func (k *Keeper) Close() {
	_ = k.conn.Close()
	<-k.gone
}

// Quit has the keeper end what still runs, each with its grace, and then
// itself. It returns when the keeper is gone or ctx ends.
func (k *Keeper) Quit(ctx context.Context) error {
	defer k.Close()
	if _, err := k.call(&wire.Call{Op: wire.OpQuit}); err != nil {
		return fmt.Errorf("cannot end the keeper: %w", err)
	}
	select {
	case <-k.gone:
	case <-ctx.Done():
		return fmt.Errorf("cannot end the keeper: %w", ctx.Err())
	}
	if k.child != nil {
		<-k.child.done
	}
	return nil
}

// call asks the keeper and waits for its answer. files are closed by the caller.
func (k *Keeper) call(c *wire.Call, files ...*os.File) (*wire.Notice, error) {
	answer := make(chan *wire.Notice, 1)
	k.mu.Lock()
	k.seq++
	c.Seq = k.seq
	k.calls[c.Seq] = answer
	err := k.send(c, files)
	k.mu.Unlock()
	defer k.forgetCall(c.Seq)
	if err != nil && !errors.Is(err, ErrKeeperGone) {
		return nil, err
	}
	limit := patience(c.Op)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case n := <-answer:
		return n, refusal(n)
	case <-k.gone:
	case <-timer.C:
		return nil, fmt.Errorf("the keeper did not answer within %s", limit)
	}
	select { // its last words may have been the answer
	case n := <-answer:
		return n, refusal(n)
	default:
		return nil, k.whyGone()
	}
}

func (k *Keeper) whyGone() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refused != nil {
		return k.refused
	}
	return ErrKeeperGone
}

func refusal(n *wire.Notice) error {
	switch n.Error {
	case "":
		return nil
	case wire.Busy:
		return ErrKeeperBusy
	}
	return errors.New(n.Error)
}

func (k *Keeper) forgetCall(seq uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.calls, seq)
}

// send writes one datagram. The caller holds mu.
func (k *Keeper) send(c *wire.Call, files []*os.File) error {
	data, err := protocol.Marshal(c)
	if err != nil {
		return fmt.Errorf("cannot encode a call: %w", err)
	}
	if len(data) > wire.MaxDatagram {
		return fmt.Errorf("the call takes %d bytes, the keeper takes %d", len(data), wire.MaxDatagram)
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	if err := k.conn.SetWriteDeadline(time.Now().Add(answerTimeout)); err != nil {
		return ErrKeeperGone
	}
	if _, _, err := k.conn.WriteMsgUnix(data, rights, nil); err != nil {
		return fmt.Errorf("%w: %v", ErrKeeperGone, err)
	}
	return nil
}

// listen reads what the keeper says until the connection ends.
func (k *Keeper) listen() {
	defer close(k.gone)
	defer k.conn.Close()
	buf := make([]byte, wire.MaxDatagram+1)
	for {
		n, err := k.conn.Read(buf)
		if errors.Is(err, unix.ECONNRESET) { // it did not read all of ours; its last words come after this
			n, err = k.conn.Read(buf)
		}
		if err != nil || n == 0 {
			break
		}
		notice, err := wire.DecodeNotice(buf[:n])
		if err != nil {
			break // no keeper of this version
		}
		k.hear(notice)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.runs {
		p.lose()
	}
}

// hear takes one notice: what it says of a run first, then the answer.
func (k *Keeper) hear(n *wire.Notice) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n.Run != nil {
		p := k.runs[n.Run.Run]
		if p == nil {
			p = newProcess(k, n.Run.Run)
			k.runs[n.Run.Run] = p
		}
		p.update(n.Run)
	}
	if n.Seq == 0 && n.Error != "" {
		k.refused = refusal(n)
	}
	if answer := k.calls[n.Seq]; answer != nil {
		answer <- n // each call has one answer, and the channel room for it
		delete(k.calls, n.Seq)
	}
}

// forget takes a run that has ended out of the books, the keeper's too.
func (k *Keeper) forget(run string) {
	_, _ = k.call(&wire.Call{Op: wire.OpForget, Run: run})
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.runs, run)
}
