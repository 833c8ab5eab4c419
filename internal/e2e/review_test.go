package e2e

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// A stray file among the records does not keep a run from being adopted.
func TestAdoptionBesideStrayFiles(t *testing.T) {
	h := newHost(t)
	h.addAgent("sleeper", agent{command: "/bin/sleep", args: []string{"300"}})
	h.start()
	running := func() bool { r := h.agentStatus("sleeper").Run; return r != nil && r.State == "running" }
	h.eventually("the agent runs", running)
	pid := h.agentStatus("sleeper").Run.PID
	h.kill()
	must(t, os.WriteFile(h.path("state/runs/notes.txt"), nil, 0o600))
	h.start()
	h.eventually("it is adopted", running)
	if got := h.agentStatus("sleeper").Run.PID; got != pid {
		t.Errorf("pid %d, want %d: a second one was started", got, pid)
	}
	h.cli("stop", "sleeper")
	h.stop()
}

// A wake outlives a reload that replaces what it waits with, and a stop
// answers who waits.
func TestWakeIsNotLost(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	h.proxy.turn(func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })
	h.start()
	woken := make(chan *control.Woken, 1)
	wake := func() {
		w, err := control.NewClient(h.socket).Wake(context.Background(), "a", control.Wake{}, true)
		if err != nil {
			t.Error(err)
		}
		woken <- w
	}
	answer := func() *control.Woken {
		select {
		case w := <-woken:
			return w
		case <-time.After(15 * time.Second):
			t.Fatalf("nobody answers the wake\n%s", h.logTail())
			return nil
		}
	}
	resolving := func() bool { return h.agentStatus("a").State == control.StateResolving }
	go wake()
	h.eventually("it waits for the control plane", resolving)
	if _, stderr, code := h.cli("reload"); code != 0 {
		t.Fatal(stderr)
	}
	h.eventually("it waits again after the reload", resolving)
	h.proxy.turn(nil)
	if w := answer(); w.Run == nil || w.Run.State != "ended" {
		t.Errorf("after a reload: %+v", w.Heartbeat)
	}
	h.proxy.turn(func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })
	go wake()
	h.eventually("it waits for the control plane", resolving)
	h.cli("stop", "a")
	if w := answer(); w.Run != nil || !strings.Contains(w.Heartbeat.Error, "stopped") {
		t.Errorf("after a stop: %+v", w)
	}
	h.stop()
}

// While the daemon was dead its agent's file got another name, or went: the
// run is adopted all the same, stop reaches it, and there is never a second.
func TestAdoptionOfMovedFiles(t *testing.T) {
	for name, move := range map[string]func(h *host) string{
		"renamed": func(h *host) string {
			must(h.t, os.Rename(h.path("adapters.d/sleeper.json"), h.path("adapters.d/other.json")))
			return "other"
		},
		"removed": func(h *host) string {
			must(h.t, os.Remove(h.path("adapters.d/sleeper.json")))
			return "sleeper"
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.addAgent("sleeper", agent{command: "/bin/sleep", args: []string{"300"}})
			h.start()
			h.eventually("the agent runs", func() bool { r := h.agentStatus("sleeper").Run; return r != nil && r.State == "running" })
			pid := h.agentStatus("sleeper").Run.PID
			h.kill()
			now := move(h)
			h.start()
			h.eventually("status shows the run", func() bool { r := h.agentStatus(now).Run; return r != nil && r.PID == pid })
			if _, stderr, code := h.cli("stop", now); code != 0 {
				t.Fatalf("stop: %s", stderr)
			}
			if n := len(h.records()); n != 1 {
				t.Errorf("%d runs", n)
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid)); err == nil {
				t.Error("the agent lives on")
			}
			h.stop()
		})
	}
}

// Whoever reads the daemon's log may go; the daemon stays.
func TestLogReaderGoes(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	r, w, err := os.Pipe()
	must(t, err)
	cmd := exec.Command(h.bin.Launcher, "run", "--config", h.config)
	cmd.Stderr = w
	must(t, cmd.Start())
	must(t, errors.Join(w.Close(), r.Close()))
	h.cmd, h.ended = cmd, make(chan error, 1)
	go func() { h.ended <- cmd.Wait(); close(h.ended) }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-h.ended })
	h.eventually("it answers", func() bool { _, err := control.NewClient(h.socket).Status(context.Background()); return err == nil })
	if w := h.wake("a"); w.Run == nil {
		t.Errorf("%+v", w.Heartbeat)
	}
	h.stop()
}

// What check refuses, run refuses: a key that others can read, a token that
// others can write, a state directory that others can fill with links.
func TestRunRefusesOpenFiles(t *testing.T) {
	for says, spoil := range map[string]func(h *host) error{
		"host.key has mode 0644": func(h *host) error { return os.Chmod(h.path("host.key"), 0o644) },
		"token has mode 0666":    func(h *host) error { return os.Chmod(h.path("token"), 0o666) },
		"is no regular file": func(h *host) error {
			return errors.Join(os.Remove(h.path("host.key")), syscall.Mkfifo(h.path("host.key"), 0o600))
		},
		"ca.pem can be written by others": func(h *host) error {
			h.useCA()
			return os.Chmod(h.path("ca.pem"), 0o666)
		},
		"ca.pem holds no certificate": func(h *host) error {
			h.useCA()
			return os.WriteFile(h.path("ca.pem"), nil, 0o600)
		},
		"state can be written by others": func(h *host) error {
			return errors.Join(os.Mkdir(h.path("state"), 0o777), os.Chmod(h.path("state"), 0o777))
		},
	} {
		t.Run(says, func(t *testing.T) {
			h := newHost(t)
			must(t, spoil(h))
			for _, command := range []string{"run", "check"} {
				_, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, command, "--config", h.config))
				if code == 0 || !strings.Contains(stderr, says) {
					t.Errorf("%s: exit %d, %q", command, code, stderr)
				}
			}
		})
	}
}

// An agent has a session keyring of its own, even without a sandbox.
func TestKeyringIsNotInherited(t *testing.T) {
	h := newHost(t)
	attacker := h.buildAttacker(t)
	runtime.LockOSThread() // a session keyring belongs to a thread; the daemon inherits this one's
	if _, err := unix.KeyctlJoinSessionKeyring("agent-launcher-test"); errors.Is(err, unix.ENOSYS) {
		t.Skip("this kernel has no keyrings")
	} else if err != nil {
		t.Fatal(err)
	}
	_, err := unix.AddKey("user", "al-canary", []byte("TOPSECRET"), unix.KEY_SPEC_SESSION_KEYRING)
	must(t, err)
	out := h.attack(t, attacker, []string{"find-key", "al-canary"}, map[string]any{"profile": "off"})
	if out[0] == "done" || !strings.Contains(out[0], "not available") {
		t.Errorf("%v", out)
	}
}

// useCA gives the config a caFile that is as good as any.
func (h *host) useCA() {
	h.t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	must(h.t, os.WriteFile(h.path("ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	data, err := os.ReadFile(h.config)
	must(h.t, err)
	h.write("config.json", []byte(strings.Replace(string(data), `"controlPlane":{`, `"controlPlane":{"caFile":"ca.pem",`, 1)))
}

// Nor does a reload or a single heartbeat take certificates from a file that
// others can write.
func TestReloadRefusesOpenCA(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "true", heartbeat: off})
	h.useCA()
	h.start()
	must(t, os.Chmod(h.path("ca.pem"), 0o622))
	if _, stderr, code := h.cli("reload"); code != 1 || !strings.Contains(stderr, "ca.pem can be written by others") {
		t.Errorf("reload: %d %q", code, stderr)
	}
	h.stop()
	if _, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, "a")); code != 125 || !strings.Contains(stderr, "ca.pem can be written by others") {
		t.Errorf("exec: %d %q", code, stderr)
	}
}
