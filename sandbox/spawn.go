package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is a keeper that this process started.
type child struct {
	done chan struct{} // closed when it was reaped
}

// StartKeeper connects to the keeper at socket, or starts one there from the
// stage binary: of this process's own user, with the host key file at key. It
// outlives this process. A keeper that another launcher of this user left
// there is taken over.
func StartKeeper(stage, socket, key string) (*Keeper, error) {
	k, err := Dial(socket)
	if err == nil || !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ECONNREFUSED) {
		return k, err
	}
	return startKeeper(stage, socket, key)
}

// TemporaryKeeper starts a keeper for this process alone: it ends with the
// connection, however that ends, and its agents with it. Without a key it can
// open no bundle.
func TemporaryKeeper(stage, socket, key string) (*Keeper, error) {
	return startKeeper(stage, socket, key, "--once")
}

func startKeeper(stage, socket, key string, more ...string) (*Keeper, error) {
	args := append([]string{"--socket", socket}, more...)
	if key != "" {
		args = append(args, "--host-key", key)
	}
	c, err := spawn(stage, args)
	if err != nil {
		return nil, fmt.Errorf("cannot start the keeper: %w", err)
	}
	k, err := Dial(socket)
	if err != nil {
		return nil, err
	}
	k.child = c
	return k, nil
}

// spawnTimeout bounds a keeper's start. It kills what an earlier one left.
const spawnTimeout = 30 * time.Second

// spawn returns when the keeper serves, or with what it said instead.
func spawn(stage string, args []string) (*child, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	proc, err := os.StartProcess(stage, append([]string{"agent-launcher-stage", "keeper"}, args...), &os.ProcAttr{
		Dir: "/", Env: []string{"GOMAXPROCS=1", "GOTRACEBACK=none"}, Files: []*os.File{null, w, w},
		Sys: &syscall.SysProcAttr{Setsid: true}, // what ends the launcher's group or terminal must not end it
	})
	_ = w.Close()
	if err != nil {
		return nil, err
	}
	c := &child{done: make(chan struct{})}
	go func() { defer close(c.done); _, _ = proc.Wait() }()
	_ = r.SetReadDeadline(time.Now().Add(spawnTimeout))
	said, ok := untilReady(r)
	if !ok {
		_ = proc.Kill()
		<-c.done
		return nil, errors.New(said)
	}
	return c, nil
}

// untilReady reads what a keeper says until it serves.
func untilReady(r io.Reader) (said string, ok bool) {
	var all []byte
	for buf := make([]byte, 512); len(all) < 8192; {
		n, err := r.Read(buf)
		all = append(all, buf[:n]...)
		if bytes.HasSuffix(all, []byte("ready\n")) {
			return "", true
		}
		if err != nil {
			break
		}
	}
	said = strings.TrimSpace(strings.ReplaceAll(string(all), "agent-launcher: keeper: ", ""))
	if said == "" {
		said = "it ended without a word"
	}
	return said, false
}
