package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

// Peers that connect and read nothing, a storm of reloads, an outage and a
// flood of output: the daemon still answers, and SIGTERM still ends it.
func TestStubbornPeers(t *testing.T) {
	h := newHost(t)
	h.addAgent("flood", agent{command: "sh", args: []string{"-c", "yes | head -c 40000000; exec sleep 300"}})
	h.addAgent("quick", agent{command: "true"})
	h.start()
	h.eventually("the flood runs", func() bool { return h.agentStatus("flood").Run != nil })
	for i := range 20 {
		conn, err := net.Dial("unix", h.socket)
		must(t, err)
		defer conn.Close()
		if i%2 == 0 { // the others do not even ask
			_, err = fmt.Fprint(conn, "GET /v1/agents/flood/logs?follow=true HTTP/1.1\r\nHost: x\r\n\r\n")
			must(t, err)
		}
	}
	for range 50 {
		must(t, h.cmd.Process.Signal(syscall.SIGHUP))
	}
	for range 10 {
		if _, stderr, code := h.cli("reload"); code != 0 {
			t.Fatalf("reload: %d %s", code, stderr)
		}
	}
	h.proxy.turn(plain(func(http.ResponseWriter) { panic(http.ErrAbortHandler) })(t))
	h.eventually("the outage shows", func() bool { return !h.status().ControlPlane.Reachable })
	if n := len(h.status().Agents); n != 2 {
		t.Errorf("%d agents", n)
	}
	start := time.Now()
	h.stop()
	if d := time.Since(start); d > 10*time.Second { // graceSec is 2
		t.Errorf("SIGTERM took %s", d)
	}
	for _, r := range h.records() {
		if info, err := os.Stat(h.path("state/runs/" + r.Agent + "/" + r.RunID + ".log")); err == nil && info.Size() > 16<<20 {
			t.Errorf("a log of %d bytes", info.Size())
		}
	}
}
