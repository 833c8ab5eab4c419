package e2e

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/launcher/runs"
	"github.com/agent-launcher/agent-launcher/sandbox/tree"
)

// leave are the ways of a daemon to go without its agents.
var leave = map[string]func(*host){
	"kill -9": (*host).kill,
	"SIGUSR2": func(h *host) {
		must(h.t, h.cmd.Process.Signal(syscall.SIGUSR2))
		if err := <-h.ended; err != nil {
			h.t.Errorf("SIGUSR2: %v", err)
		}
	},
}

// Agents that a daemon leaves run on and their output is logged; the next
// daemon knows how they ended, meanwhile or later.
func TestAgentsOutliveTheDaemon(t *testing.T) {
	for name, gone := range leave {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			h.start()
			ends, stays := h.puppet(t, "ends", agent{}), h.puppet(t, "stays", agent{})
			late := h.puppet(t, "late", agent{timeout: 5})
			for _, p := range []*puppet{ends, stays} {
				p.works("cwd", "")
			}
			gone(h)
			for _, p := range []*puppet{ends, stays} {
				p.works("cwd", "") // its log says so
			}
			ends.order("exit", "7")
			h.eventually("one ended by itself, another by its deadline", func() bool { return !lives(ends.pid) && !lives(late.pid) })
			if !lives(stays.pid) {
				t.Error("an agent did not outlive the daemon")
			}
			h.start()
			r := h.ended1("ends")
			if r.ExitCode == nil || *r.ExitCode != 7 || r.LogBytes != int64(len("done\ndone\n")) {
				t.Errorf("the one that ended meanwhile: %+v", r)
			}
			if r := h.ended1("late"); !strings.Contains(r.Reason, "timeoutSec") {
				t.Errorf("the one whose time was over: %+v", r)
			}
			if r := h.waitFor("stays", control.StateRunning).Run; r.PID != stays.pid {
				t.Errorf("the one that runs: %+v", r)
			}
			stays.works("cwd", "")
			stays.order("exit", "8")
			if r := h.ended1("stays"); r.ExitCode == nil || *r.ExitCode != 8 {
				t.Errorf("the one that was adopted: %+v", r)
			}
			h.stop()
		})
	}
}

// ended1 is the record of an agent's only run, once it is complete.
func (h *host) ended1(name string) (r *runs.Record) {
	h.t.Helper()
	h.eventually("the run of "+name+" is on record", func() bool {
		r = h.agentStatus(name).LastRun
		return r != nil && r.State.Done()
	})
	return r
}

// SIGTERM leaves no process of ours.
func TestSIGTERMLeavesNothing(t *testing.T) {
	h := newHost(t)
	h.start()
	h.puppet(t, "one", agent{})
	h.puppet(t, "two", agent{sandbox: map[string]any{"profile": "off"}})
	keeper := h.keeper()
	all, err := tree.Below(keeper)
	must(t, err)
	if len(all) < 3 {
		t.Errorf("below the keeper there is only %v", all)
	}
	h.stop()
	for _, pid := range append(all, keeper) {
		if lives(pid) {
			t.Errorf("process %d lives on: %q", pid, commands()[pid])
		}
	}
	if _, err := os.Stat(h.path("state/keeper.sock")); err == nil {
		t.Error("the keeper's socket is left")
	}
}

// kill -9 of the keeper ends its agents. The daemon says so, starts another and
// goes on. An agent that asked the kernel not to end it, and what agents
// abandoned, end when the next keeper finds them in their cgroups, and then the
// masker, which reads what they print; without cgroups nobody finds them.
func TestKilledKeeper(t *testing.T) {
	h := newHost(t)
	h.start()
	p, fugitive := h.puppet(t, "agent", agent{}), h.puppet(t, "fugitive", agent{})
	fugitive.works("escape", fugitive.marker())
	keeper := h.keeper()
	masker := masker(t, keeper)
	must(t, syscall.Kill(keeper, syscall.SIGKILL))
	h.eventually("its agent ends with it", func() bool { return !lives(p.pid) })
	if r := h.ended1("agent"); !strings.Contains(r.Reason, "keeper is gone") {
		t.Errorf("%+v", r)
	}
	first := p.pid
	p.wake()
	p.works("cwd", "")
	if h.keeper() == keeper || p.pid == first {
		t.Error("that was the old one")
	}
	left := func() []int { return marked(fugitive.marker()) }
	if why := h.status().Keeper.NoCgroup; why != "" {
		t.Logf("%d processes are left, for want of a cgroup: %s", len(left()), why)
		for _, pid := range append(left(), fugitive.pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	h.eventually("all of it ends", func() bool { return len(left()) == 0 && !lives(fugitive.pid) && !lives(masker) })
	h.stop()
}

// kill -9 of the masker: agents run on, and what they print next is logged.
func TestKilledMasker(t *testing.T) {
	h := newHost(t)
	h.start()
	p := h.puppet(t, "agent", agent{})
	keeper := h.keeper()
	for range 3 {
		p.works("cwd", "")
		must(t, syscall.Kill(masker(t, keeper), syscall.SIGKILL))
	}
	p.works("cwd", "")
	p.order("exit", "0")
	if r := h.ended1("agent"); r.LogBytes != int64(4*len("done\n")) || !strings.Contains(r.Reason, "the masker was replaced") {
		t.Errorf("%+v", r)
	}
	h.stop()
}
