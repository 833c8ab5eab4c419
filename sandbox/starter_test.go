package sandbox_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// order is what a starter is told, on its stdin.
type order struct {
	Stage, Key, Socket string
	Spec               sandbox.LaunchSpec
	Bundle             []byte // CBOR, empty for none
	Policy             sandbox.Policy
	Release            bool // else the stage is left waiting
}

// started is the first line that a starter prints; the agent's output follows.
type started struct {
	Keeper int // its pid
	PID    int
	Memory string
	Error  string
}

func beStarter() int {
	var o order
	if err := json.NewDecoder(os.Stdin).Decode(&o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	k, err := sandbox.StartKeeper(o.Stage, o.Socket, o.Key)
	var p *proc
	var s started
	if err == nil {
		s.Keeper = k.PID()
		p, err = o.start(k)
	}
	if err != nil {
		s.Error = err.Error()
	} else {
		s.PID, s.Memory = p.PID, p.Memory
	}
	if err := json.NewEncoder(os.Stdout).Encode(s); err != nil || p == nil {
		return 1
	}
	if o.Release {
		_, _ = io.Copy(os.Stdout, p.Output)
	}
	for { // until killed
		_ = unix.Pause()
	}
}

func (o *order) start(k *sandbox.Keeper) (*proc, error) {
	var bundle *protocol.Bundle
	if len(o.Bundle) > 0 {
		bundle = new(protocol.Bundle)
		if err := protocol.Unmarshal(o.Bundle, len(o.Bundle), bundle); err != nil {
			return nil, err
		}
	}
	p, err := startOn(k, o.Spec, bundle, o.Policy)
	if err != nil || !o.Release {
		return p, err
	}
	return p, p.Release()
}

// starter is a launcher of its own that started an agent.
type starter struct {
	started
	cmd *exec.Cmd
	out *bufio.Reader
}

// startElsewhere has an agent started by a process of its own, as an ordinary
// user. wrap is put before its command line.
func (h *host) startElsewhere(t testing.TB, o order, bundle *protocol.Bundle, wrap ...string) *starter {
	t.Helper()
	o.Policy.Profile = sandbox.ProfileOff
	o.Socket = filepath.Join(ordinaryDir(t), "keeper.sock")
	if o.Stage = h.stage; o.Key == "" {
		o.Key = h.key
	}
	if bundle != nil {
		var err error
		if o.Bundle, err = protocol.Marshal(bundle); err != nil {
			t.Fatal(err)
		}
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	argv := append(wrap, publicSelf(t, h, roleStarter)...)
	s := &starter{cmd: exec.Command(argv[0], argv[1:]...)}
	s.cmd.SysProcAttr, s.cmd.Dir, s.cmd.Stderr = asUser(ordinaryUID), "/", os.Stderr
	if os.Geteuid() == 0 {
		if err := os.Chown(h.key, ordinaryUID, ordinaryUID); err != nil {
			t.Fatal(err)
		}
	}
	s.run(t, data)
	return s
}

func (s *starter) run(t testing.TB, stdin []byte) {
	t.Helper()
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	if _, err := in.Write(stdin); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	line, err := s.out.ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &s.started) != nil {
		t.Fatalf("starter: %v: %s", err, line)
	}
	if s.Keeper != 0 { // it outlives the starter
		t.Cleanup(func() { s.kill(); _ = syscall.Kill(s.Keeper, syscall.SIGKILL) })
	}
}

// ordinaryDir is a directory that the ordinary user may write.
func ordinaryDir(t testing.TB) string {
	t.Helper()
	dir := publicDir(t)
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, ordinaryUID, ordinaryUID); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// kill ends the starter as a launcher ends that is killed: without a word.
func (s *starter) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}
