package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Stream sends files to a client that asked for logs. It hands the kernel file
// and socket, so that no byte of an agent's output passes through the daemon.
// The HTTP chunks around them let the client tell the end of a log from the
// end of the daemon.
type Stream struct {
	conn     *net.UnixConn
	patience time.Duration // with a client that takes nothing
}

// maxChunk bounds what is announced at once: a log is cut or gone only between
// two chunks.
const maxChunk = 1 << 20

func (s *Stream) begin() error {
	return s.print("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
}

// Send sends what there is of the file from its offset on. The error is
// os.ErrDeadlineExceeded when the client took nothing for too long.
func (s *Stream) Send(file *os.File) error {
	for {
		size, err := left(file)
		if err != nil || size == 0 {
			return err
		}
		if err := s.print("%x\r\n", size); err != nil {
			return err
		}
		if err := s.sendfile(file, size); err != nil {
			return err
		}
		if err := s.print("\r\n"); err != nil {
			return err
		}
	}
}

// left is how much of the file follows its offset, at most a chunk.
func left(file *os.File) (int, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	at, err := file.Seek(0, io.SeekCurrent)
	return int(min(max(info.Size()-at, 0), maxChunk)), err
}

// sendfile sends size bytes. The socket stays in the poller: a client that
// reads nothing blocks a goroutine, not a thread, and that for a while only.
func (s *Stream) sendfile(file *os.File, size int) error {
	raw, err := s.conn.SyscallConn()
	if err != nil {
		return err
	}
	for size > 0 {
		n := 0
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
			return err
		}
		werr := raw.Write(func(fd uintptr) bool {
			n, err = unix.Sendfile(int(fd), int(file.Fd()), nil, size)
			return err != unix.EAGAIN && err != unix.EINTR
		})
		if werr != nil || err != nil {
			return errors.Join(werr, err)
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		size -= n
	}
	return nil
}

// end tells the client that this is all, or why it is not.
func (s *Stream) end(err error) {
	switch {
	case err == nil:
		_ = s.print("0\r\n\r\n")
	case !errors.Is(err, os.ErrDeadlineExceeded):
		text := fmt.Sprintf("agent-launcher: %v\n", err)
		_ = s.print("%x\r\n%s\r\n", len(text), text)
	}
}

func (s *Stream) print(format string, args ...any) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.patience)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(s.conn, format, args...)
	return err
}
