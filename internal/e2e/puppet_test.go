package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// puppet is a hostile agent of the daemon that attacks when it is told to,
// whether the daemon lives or not.
type puppet struct {
	h    *host
	t    *testing.T
	name string
	fifo *os.File
	log  string
	pid  int
	said int // lines
}

// puppet starts one as a says; its command and heartbeat are its own.
func (h *host) puppet(t *testing.T, name string, a agent) *puppet {
	t.Helper()
	p := &puppet{h: h, t: t, name: name}
	path := h.path("work/" + name)
	must(t, syscall.Mkfifo(path, 0o644))
	must(t, os.Chmod(path, 0o644))
	var err error
	p.fifo, err = os.OpenFile(path, os.O_RDWR, 0) // both ends: nobody waits, and it does not end
	must(t, err)
	t.Cleanup(func() {
		_ = p.fifo.Close()
		for _, pid := range marked(p.marker()) { // a test that fails must not leave a bomb
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	a.command, a.args, a.heartbeat = h.buildAttacker(t), []string{"obey", path}, off
	h.addAgent(name, a)
	p.wake()
	return p
}

func (p *puppet) wake() {
	p.t.Helper()
	p.h.eventually(p.name+" is known", func() bool {
		_, err := control.NewClient(p.h.socket).Wake(context.Background(), p.name, control.Wake{}, false)
		return err == nil
	})
	run := p.h.waitFor(p.name, control.StateRunning).Run
	p.pid, p.said = run.PID, 0
	p.log = p.h.path("state/runs/" + p.name + "/" + run.RunID + ".log")
}

func (p *puppet) order(attack, target string) {
	p.t.Helper()
	_, err := fmt.Fprintln(p.fifo, attack, target)
	must(p.t, err)
}

// try is one attack and what the puppet's log says of it.
func (p *puppet) try(attack, target string) (says string) {
	p.t.Helper()
	p.order(attack, target)
	p.h.eventually(p.name+" answers to "+attack+" "+target, func() bool {
		data, _ := os.ReadFile(p.log)
		lines := strings.SplitAfter(string(data), "\n")
		if len(lines) <= p.said+1 {
			return false
		}
		says = strings.TrimSpace(lines[p.said])
		return true
	})
	p.said++
	return says
}

func (p *puppet) works(attack, target string) {
	p.t.Helper()
	if says := p.try(attack, target); says != "done" {
		p.t.Errorf("%s: %s %s: %s; want that it works", p.name, attack, target, says)
	}
}

func (p *puppet) denied(attack, target string) {
	p.t.Helper()
	if says := p.try(attack, target); !denial(says) {
		p.t.Errorf("%s: %s %s: %s; want that it is denied", p.name, attack, target, says)
	}
}

// keeper is the pid of the one that this host's daemon uses.
func (h *host) keeper() int {
	h.t.Helper()
	pid := 0
	h.eventually("there is a keeper", func() bool { pid = h.status().Keeper.PID; return pid != 0 })
	return pid
}

// masker is the pid of a keeper's masker.
func masker(t *testing.T, keeper int) int {
	t.Helper()
	for pid, argv := range commands() {
		if strings.HasPrefix(argv, "agent-launcher-stage\x00masker\x00") && parent(pid) == keeper {
			return pid
		}
	}
	t.Fatalf("keeper %d has no masker", keeper)
	return 0
}

func parent(pid int) int {
	data, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	_, rest, _ := strings.Cut(string(data), ") ") // the name before may hold anything but this, here
	fields := strings.Fields(rest)
	if len(fields) < 2 || fields[0] == "Z" {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}

// lives reports whether a process is there and no zombie.
func lives(pid int) bool { return parent(pid) != 0 }

// marked are the living processes with that argument.
func marked(marker string) (pids []int) {
	for pid, argv := range commands() {
		if strings.Contains(argv, "\x00"+marker+"\x00") && lives(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}
