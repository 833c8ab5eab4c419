package control

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// pair is a stream and its client.
func pair(t *testing.T, patience time.Duration) (*Stream, net.Conn) {
	t.Helper()
	l := listen(t)
	peer, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close(); conn.Close() })
	return &Stream{conn: conn, patience: patience}, peer
}

func logFile(t *testing.T, data []byte) *os.File {
	t.Helper()
	path := t.TempDir() + "/log"
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What is sent arrives whole, and its end is not that of the connection.
func TestStream(t *testing.T) {
	for _, failed := range []error{nil, errors.New("the disk is gone")} {
		s, peer := pair(t, time.Minute)
		data := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
		f := logFile(t, data)
		go func() {
			_ = s.begin()
			_ = s.Send(f)
			_ = s.Send(f) // nothing new
			s.end(failed)
			s.conn.Close()
		}()
		resp, err := http.ReadResponse(bufio.NewReader(peer), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		if failed != nil {
			data = append(data, "agent-launcher: the disk is gone\n"...)
		}
		if !bytes.Equal(got, data) || (failed == nil) != (err == nil) {
			t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
		}
	}
}

// A client that takes nothing is given up.
func TestStreamPatience(t *testing.T) {
	s, _ := pair(t, 20*time.Millisecond)
	if err := s.Send(logFile(t, make([]byte, 4<<20))); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}
