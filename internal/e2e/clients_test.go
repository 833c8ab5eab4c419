package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// ask opens a connection and asks, without reading the answer.
func (h *host) ask(path string) net.Conn {
	h.t.Helper()
	conn, err := net.Dial("unix", h.socket)
	must(h.t, err)
	h.t.Cleanup(func() { conn.Close() })
	if path != "" {
		_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		must(h.t, err)
	}
	return conn
}

func (h *host) fullLog() string {
	data, _ := os.ReadFile(h.log)
	return string(data)
}

// Readers of logs, waiters and idle connections are bounded, each by itself;
// who comes too much is told so, and stop and status still work.
func TestClientsAreBounded(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "sleep", args: []string{"300"}})
	h.start()
	h.waitFor("a", control.StateRunning)
	busy := func(what string, args ...string) {
		t.Helper()
		if _, stderr, code := h.cli(args...); code != 1 || !strings.Contains(stderr, "the daemon is busy: "+what) || !strings.Contains(stderr, "hint: ") {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
	var readers []net.Conn
	for range 32 {
		conn := h.ask("GET /v1/agents/a/logs?follow=true")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if must(t, err); resp.StatusCode != 200 {
			t.Fatal(resp.Status)
		}
		readers = append(readers, conn)
	}
	busy("32 log readers", "logs", "a")
	readers[0].Close()
	h.eventually("there is room again", func() bool { _, _, code := h.cli("logs", "a"); return code == 0 })
	for range 128 {
		h.ask("POST /v1/agents/a/wake?wait=true")
	}
	h.eventually("all of them wait", func() bool { return strings.Count(h.fullLog(), "woken by an operator") == 128 })
	busy("128 callers", "wake", "a", "--wait")
	if _, stderr, code := h.cli("stop", "a"); code != 0 {
		t.Errorf("stop: %d %s", code, stderr)
	}
	for range 256 {
		h.ask("")
	}
	resp, err := http.ReadResponse(bufio.NewReader(h.ask("")), nil) // refused before it asks anything
	must(t, err)
	var e control.Error
	if must(t, json.NewDecoder(resp.Body).Decode(&e)); resp.StatusCode != 503 || !strings.Contains(e.Error, "too many connections") {
		t.Errorf("%s %+v", resp.Status, e)
	}
	h.eventually("idle ones are closed", func() bool { _, _, code := h.cli("status"); return code == 0 })
	h.stop()
}

// Whoever waits notices when the daemon is killed, and does not take it for the
// end of what was waited for.
func TestDaemonKilledMeanwhile(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "sh", args: []string{"-c", "trap '' TERM; echo hello; sleep 300"}, heartbeat: off})
	h.start()
	h.cli("wake", "a")
	h.waitFor("a", control.StateRunning)
	type result struct{ name, stderr string }
	results := make(chan result)
	for name, args := range map[string][]string{"wake": {"wake", "a", "--wait"}, "logs": {"logs", "a", "-f"}} {
		cmd := exec.Command(h.bin.Launcher, append(args, "--socket", h.socket)...)
		if name == "logs" {
			out, err := cmd.StdoutPipe()
			must(t, err)
			errs, err := cmd.StderrPipe()
			must(t, err)
			must(t, cmd.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil || line != "hello\n" {
				t.Errorf("%q %v", line, err)
			}
			go func() {
				text, _ := io.ReadAll(errs)
				results <- result{name, fmt.Sprint(string(text), cmd.Wait())}
			}()
			continue
		}
		go func() {
			_, stderr, code := runCommand(t, cmd)
			results <- result{name, fmt.Sprint(stderr, "exit status ", code)}
		}()
	}
	h.eventually("the wake is taken", func() bool { return strings.Count(h.logTail(), "woken by an operator") == 2 })
	h.kill()
	for range 2 {
		if r := <-results; !strings.Contains(r.stderr, "the daemon at "+h.socket+" hung up") || !strings.Contains(r.stderr, "exit status 1") {
			t.Errorf("%s: %s", r.name, r.stderr)
		}
	}
	h.start() // which ends the agent in the end
	h.eventually("the run is adopted", func() bool { return h.agentStatus("a").Run != nil || h.agentStatus("a").LastRun != nil })
	h.cli("stop", "a")
	h.stop()
}
