package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

func connect(path string, kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	return fd, unix.Connect(fd, &unix.SockaddrUnix{Name: path})
}

// connectLeft is a connection that was made by a process which has ended.
func connectLeft(path string, kind int) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	child := exec.Command("/proc/self/exe", "connect-and-die", path)
	child.ExtraFiles, child.Stderr = []*os.File{os.NewFile(uintptr(fd), "socket")}, os.Stderr
	if err := child.Run(); err != nil {
		return -1, fmt.Errorf("%w: %v", unix.EACCES, err)
	}
	return unix.Dup(int(child.ExtraFiles[0].Fd()))
}

func connectAndDie(path string) {
	if err := unix.Connect(3, &unix.SockaddrUnix{Name: path}); err != nil {
		os.Exit(1)
	}
}

// pairSend sends to a datagram socket by its path, without a socket of its own
// but one of a pair.
func pairSend(path string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) }()
	return unix.Sendto(pair[0], []byte("x"), 0, &unix.SockaddrUnix{Name: path})
}

// hello poses as a launcher that takes over. Once it is one, the keeper does
// what it says.
func hello(path string) error {
	return converse(connect(path, unix.SOCK_SEQPACKET))(sayHello)
}

func helloLeft(path string) error {
	return converse(connectLeft(path, unix.SOCK_SEQPACKET))(sayHello)
}

func askControl(path string) error {
	return converse(connect(path, unix.SOCK_STREAM))(sayStatus)
}

func askControlLeft(path string) error {
	return converse(connectLeft(path, unix.SOCK_STREAM))(sayStatus)
}

func converse(fd int, err error) func(func(int) error) error {
	return func(say func(int) error) error {
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return say(fd)
	}
}

func sayHello(fd int) error {
	call, err := protocol.Marshal(&wire.Call{Seq: 1, Op: wire.OpHello, Version: wire.KeeperVersion})
	if err != nil {
		return err
	}
	_, _ = unix.Write(fd, call) // one that hung up has said why before
	for buf := make([]byte, wire.MaxDatagram); ; {
		n, err := unix.Read(fd, buf)
		if err != nil || n == 0 {
			return fmt.Errorf("%w: the keeper hung up: %v", unix.EPERM, err)
		}
		notice, err := wire.DecodeNotice(buf[:n])
		switch {
		case err != nil:
			return err
		case notice.Error != "":
			return errors.New(notice.Error)
		case notice.Hello != nil:
			return nil
		}
	}
}

func sayStatus(fd int) error {
	if _, err := unix.Write(fd, []byte("GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")); err != nil {
		return err
	}
	var answer []byte
	for buf := make([]byte, 4096); ; {
		n, err := unix.Read(fd, buf)
		if err != nil || n == 0 {
			break
		}
		answer = append(answer, buf[:n]...)
	}
	if bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
		return nil
	}
	return fmt.Errorf("%.400q", answer)
}
