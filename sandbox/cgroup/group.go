package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits hold for all processes of an agent together. 0 means none.
type Limits struct {
	Memory uint64  // bytes; an agent that has no more dies whole
	Pids   uint64  // processes and threads
	CPU    float64 // cores
}

// Group is one agent's cgroup.
type Group struct {
	dir   string
	procs *os.File
}

// Make makes the group of one agent. The error says what is wrong with the name
// (it has 1 to 64 characters of a-z, 0-9 and -) or a limit, or which limit's
// controller is missing and why; nothing is left behind then.
func (r *Root) Make(name string, l Limits) (*Group, error) {
	if !validName(name) {
		return nil, errors.New("cannot make a cgroup: its name must have 1 to 64 characters of a-z, 0-9 and -")
	}
	settings, err := l.settings()
	if err != nil {
		return nil, err
	}
	for _, s := range settings {
		if why, missing := r.missing[s.controller]; missing {
			return nil, fmt.Errorf("cannot limit %s: %s", s.controller, why)
		}
	}
	dir := path.Join(r.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a cgroup: %w", err)
	}
	procs, err := r.fill(dir, settings)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot make a cgroup: %w", err), os.Remove(dir))
	}
	return &Group{dir: dir, procs: procs}, nil
}

func validName(name string) bool {
	odd := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }
	return len(name) >= 1 && len(name) <= 64 && !strings.ContainsFunc(name, odd)
}

func (r *Root) fill(dir string, settings []setting) (*os.File, error) {
	if slices.Contains(r.controllers, "memory") {
		settings = append(settings, noSwap())
	}
	for _, s := range settings {
		if err := s.write(dir); err != nil {
			return nil, err
		}
	}
	if err := write(dir, "cgroup.max.descendants", "0"); err != nil { // nobody nests groups to hide in
		return nil, err
	}
	// Not os.OpenFile: it would make the description non-blocking, which the
	// stage would inherit.
	name := path.Join(dir, "cgroup.procs")
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Procs is cgroup.procs, open for writing: a process that writes "0" to it joins
// the group, whatever it may do itself, because the kernel asks what the
// opener may. So no agent may inherit it. It is closed by Remove.
func (g *Group) Procs() *os.File { return g.procs }

// Kill kills every process in the group and below it at once, forks included. It
// does not wait for their end.
func (g *Group) Kill() error {
	if err := write(g.dir, "cgroup.kill", "1"); err != nil {
		return fmt.Errorf("cannot kill a cgroup: %w", err)
	}
	return nil
}

// Empty reports whether no process is left. Zombies do not count.
func (g *Group) Empty() (bool, error) {
	data, err := os.ReadFile(path.Join(g.dir, "cgroup.events"))
	if err != nil {
		return false, fmt.Errorf("cannot look into a cgroup: %w", err)
	}
	return parseEvents(string(data))
}

// Remove removes the group, with any that the agent made below it. While a
// process is left it returns EBUSY, and can be called again.
func (g *Group) Remove() error {
	if err := removeAll(g.dir); err != nil {
		return fmt.Errorf("cannot remove cgroup %s: %w", g.dir, err)
	}
	return g.procs.Close()
}

// Holds reports whether a process is in a group below root, which is as Path
// returns it. A process that is gone is in none; for numbers that may be reused
// see package tree.
func Holds(root string, pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil || root == "" {
		return false
	}
	name, ok := unified(string(data))
	return ok && name != root && below(root, name) != ""
}
