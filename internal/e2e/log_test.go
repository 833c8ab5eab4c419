package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// A stderr that nobody reads stops neither heartbeats nor operators nor
// SIGTERM. Whoever reads it at last finds whole lines, the last one too.
func TestNobodyReadsTheLog(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 4096)
	must(t, err)
	cmd := exec.Command(h.bin.Launcher, "run", "--config", h.config, "--log-level", "debug")
	cmd.Stderr = w
	must(t, cmd.Start())
	must(t, w.Close())
	h.cmd, h.ended = cmd, make(chan error, 1)
	go func() { h.ended <- cmd.Wait(); close(h.ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-h.ended })
	h.eventually("it answers", func() bool { _, err := control.NewClient(h.socket).Status(context.Background()); return err == nil })
	for range 60 { // two lines each, of 100 bytes at least
		must(t, control.NewClient(h.socket).Reload(context.Background()))
	}
	if w := h.wake("a"); w.Run == nil {
		t.Errorf("%+v", w.Heartbeat)
	}
	h.stop()
	data, err := io.ReadAll(r)
	must(t, err)
	if len(data) < 2048 {
		t.Errorf("the pipe was never full: %q", data)
	}
	for _, line := range bytes.Split(bytes.TrimSpace(data[:bytes.LastIndexByte(data, '\n')]), []byte("\n")) {
		if !json.Valid(line) {
			t.Errorf("no line of JSON: %q", line)
		}
	}
}

// What the daemon says last comes out before it ends.
func TestLastLines(t *testing.T) {
	h := newHost(t)
	h.start()
	h.stop()
	if !bytes.Contains([]byte(h.logTail()), []byte("stopping: ending all agents")) {
		t.Error(h.logTail())
	}
	must(t, os.Remove(h.path("token")))
	_, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "run", "--config", h.config))
	if code != 1 || !bytes.Contains([]byte(stderr), []byte("agent-launcher: cannot open the host token")) {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
