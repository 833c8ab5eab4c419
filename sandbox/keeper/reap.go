package keeper

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/cgroup"
	"github.com/agent-launcher/agent-launcher/sandbox/tree"
)

// reap takes every child that has ended: stages and agents, sweeps, the
// masker, and what dead agents abandoned.
func (k *keeper) reap() {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			break
		}
		if k.masker != nil && k.masker.PID == pid {
			k.masker.PID = 0 // the number is free: its end is heard on its socket
		} else if k.sweeps[pid] != nil {
			k.swept(pid)
		} else if r := k.runOf(pid); r != nil {
			r.reaped, r.wait = true, uint32(status)
		}
	}
	for _, r := range k.runs {
		k.advance(r)
	}
}

// runOf is the run whose process has that pid and is not reaped.
func (k *keeper) runOf(pid int) *run {
	for _, r := range k.runs {
		if r.pid == pid && !r.reaped {
			return r
		}
	}
	return nil
}

// killStrays kills what belongs to no run that lives: it reparented to the
// keeper when its agent died. It reports whether any of it still lives.
func (k *keeper) killStrays() bool {
	if !k.haveStrays() { // nearly always, and a walk reads all of /proc
		return false
	}
	n, err := tree.Kill(unix.Getpid(), k.spared)
	if err != nil {
		complain(err)
	}
	return n > 0 || err != nil
}

// haveStrays reports whether any child of ours is one: proc_pid_children(5) of
// each thread. A kernel without that file has to be walked.
func (k *keeper) haveStrays() bool {
	lists, _ := filepath.Glob("/proc/self/task/[0-9]*/children")
	if len(lists) == 0 {
		return true
	}
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			return true // a thread that ended: its children are another's now
		}
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err != nil || !k.spared(pid) {
				return true
			}
		}
	}
	return false
}

// spared are the masker, sweeps, the processes of runs, and whatever is in a
// run's cgroup, which dies with that.
func (k *keeper) spared(pid int) bool {
	if k.masker != nil && k.masker.PID == pid || k.sweeps[pid] != nil || k.runOf(pid) != nil {
		return true
	}
	return k.cgroups != nil && cgroup.Holds(k.cgroups.Path(), pid)
}
