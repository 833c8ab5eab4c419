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

// listen makes the keeper's socket. Only a dead socket makes room for it.
func listen(path string, daemon uint32) (int, error) {
	fail := func(err error) (int, error) { return -1, fmt.Errorf("cannot listen on %s: %w", path, err) }
	if err := removeDead(path); err != nil {
		return fail(err)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fail(err)
	}
	if len(path) > maxSocket {
		return fail(fmt.Errorf("the path has %d bytes, the limit is %d (unix(7))", len(path), maxSocket))
	}
	mask := unix.Umask(0o177)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: path})
	unix.Umask(mask)
	if err != nil {
		return fail(err)
	}
	if uint32(os.Geteuid()) != daemon {
		if err := os.Lchown(path, int(daemon), -1); err != nil {
			return fail(err)
		}
	}
	if err := unix.Listen(fd, 8); err != nil {
		return fail(err)
	}
	return fd, nil
}

// maxSocket is the longest path of a unix socket in bytes.
const maxSocket = 107

// removeDead removes a socket that nobody serves, and nothing else.
func removeDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return errors.New("it exists and is no socket")
	}
	// Non-blocking: whoever planted it may let nobody in.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != unix.ECONNREFUSED {
		return errors.New("another keeper answers there")
	}
	return os.Remove(path)
}

// conn is the launcher, as long as it is connected.
type conn struct {
	fd  int
	in  [wire.MaxDatagram + 1]byte
	out [][]byte // what the socket did not take yet

	broken bool // more than that: the launcher reads nothing
}

// maxQueue is how many notices wait for a launcher that reads none. One that
// lets so many wait is as good as gone: what they say is kept for the next.
const maxQueue = 10000

func (c *conn) events() int16 {
	if len(c.out) > 0 {
		return unix.POLLIN | unix.POLLOUT
	}
	return unix.POLLIN
}

// accept takes a launcher in, if it is one and there is no other.
func (k *keeper) accept() {
	fd, _, err := unix.Accept4(k.listen, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		if err == unix.EMFILE || err == unix.ENFILE || err == unix.ENOMEM { // it stays ready: not to spin
			k.deaf = time.Now().Add(time.Second)
		}
		return
	}
	c := &conn{fd: fd}
	if err := k.admit(fd); err != nil {
		c.send(&wire.Notice{Error: err.Error()})
		_ = unix.Close(fd)
		return
	}
	k.conn, k.lonely = c, time.Time{}
}

// admit looks at who connected. An agent may have the launcher's uid.
func (k *keeper) admit(fd int) error {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	switch {
	case err != nil:
		return fmt.Errorf("cannot see who connects: %w", err)
	case peer.Uid != k.Daemon:
		return fmt.Errorf("the keeper serves uid %d alone, not uid %d", k.Daemon, peer.Uid)
	case k.isAgent(fd, int(peer.Pid)):
		return errors.New("the keeper serves no agent")
	case k.conn != nil:
		return errors.New(wire.Busy)
	}
	return nil
}

// isAgent reports whether who connected is part of an agent, or may be. Whatever
// lives below the keeper is: not all of it hangs below a run's own process.
func (k *keeper) isAgent(fd, pid int) bool {
	if k.cgroups != nil && cgroup.Holds(k.cgroups.Path(), pid) {
		return true
	}
	return tree.Peer(fd, func(p int) bool { return p == os.Getpid() })
}

// send queues a notice.
func (c *conn) send(n *wire.Notice) {
	data, err := protocol.Marshal(n)
	if err != nil || len(data) > wire.MaxDatagram {
		data, _ = protocol.Marshal(&wire.Notice{Seq: n.Seq, Error: "the keeper's answer is too long"})
	}
	if c.broken = c.broken || len(c.out) >= maxQueue; c.broken {
		return
	}
	c.out = append(c.out, data)
	c.flush()
}

// flush sends what the socket takes.
func (c *conn) flush() {
	for len(c.out) > 0 {
		err := unix.Sendto(c.fd, c.out[0], unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // EAGAIN: later; anything else is seen when reading
			return
		}
		c.out = c.out[1:]
	}
}

// talk reads a call, if there is one, and answers it.
func (k *keeper) talk(c *conn) {
	if k.conn != c {
		return
	}
	c.flush()
	data, files, err := c.receive()
	defer closeAside(files)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil || len(data) == 0:
		k.hangUp()
		return
	}
	call, err := wire.DecodeCall(data)
	if err != nil { // no launcher of this version: nothing it says can be trusted
		complain(fmt.Errorf("a launcher sent what is no call: %w", err))
		c.send(&wire.Notice{Error: fmt.Sprintf("this is no call of version %d, which the keeper speaks: restart both from one package", wire.KeeperVersion)})
		k.hangUp()
		return
	}
	if err := k.call(call, files); err != nil {
		c.send(&wire.Notice{Seq: call.Seq, Error: err.Error()})
	}
}

// hangUp forgets the launcher: stages that wait for its Go will get none.
func (k *keeper) hangUp() {
	_ = unix.Close(k.conn.fd)
	k.conn = nil
	for _, r := range k.runs {
		if r.bound {
			k.orphan(r)
		} else if r.state == wire.RunWaiting && !r.reaped {
			r.why, r.due = wire.WhyNoGo, time.Now().Add(wire.GoTimeout) // then a stage that was stopped is killed
			r.closeGo()
		}
	}
	if k.Once {
		k.stopAll()
	}
}

// orphan ends a run that is bound to the launcher that is gone.
func (k *keeper) orphan(r *run) {
	if r.orphan = true; r.state == wire.RunEnded {
		delete(k.runs, r.id)
		return
	}
	r.closeGo()
	k.kill(r, wire.WhyKill)
}

// receive reads one datagram, valid until the next, and the files that came
// with it.
func (c *conn) receive() ([]byte, []int, error) {
	data := c.in[:]
	oob := make([]byte, unix.CmsgSpace(4*wire.StartFiles))
	n, oobn, flags, _, err := unix.Recvmsg(c.fd, data, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, nil, err
	}
	var files []int
	messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
	for i := range messages {
		got, _ := unix.ParseUnixRights(&messages[i])
		files = append(files, got...)
	}
	if flags&unix.MSG_TRUNC != 0 {
		return nil, files, unix.EMSGSIZE
	}
	// MSG_CTRUNC is for want of descriptors: the call lacks files, and is answered.
	return data[:n], files, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// closeAside closes what the launcher chose, beside the loop where that may
// wait: a socket for its peer, a terminal for its line.
func closeAside(fds []int) {
	for _, fd := range fds {
		var st unix.Stat_t
		quick := unix.Fstat(fd, &st) == nil && (st.Mode&unix.S_IFMT == unix.S_IFREG || st.Mode&unix.S_IFMT == unix.S_IFIFO ||
			st.Mode&unix.S_IFMT == unix.S_IFDIR || st.Rdev == unix.Mkdev(1, 3)) // /dev/null
		if quick {
			_ = unix.Close(fd)
		} else {
			go unix.Close(fd)
		}
	}
}
