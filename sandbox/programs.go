package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// programRule opens a program or what it loads. The agent may have a hand in
// where its path leads: what the rule opens is looked at when it is open.
type programRule struct {
	rule
	within string // a directory that the path may not lead out of; empty: it is a program
}

// programRules open the agent's program, its interpreter and the libraries of
// both, wherever they lie. Of what the agent may write, and of what that names
// as interpreter, only the file itself is opened: its libraries would be
// whatever directory the agent likes to read.
func programRules(p *Policy, at *Places, argv0, path string) []programRule {
	if argv0 == "" { // no plan
		return nil
	}
	var rules []programRule
	add := func(program, why string, libraries bool) {
		rules = append(rules, programRule{rule: rule{program, readFile | ll.AccessFSExecute, why}})
		if info, err := os.Stat(program); libraries && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			rules = append(rules, librariesOf(program)...)
		}
	}
	for _, program := range candidates(argv0, path) {
		trusted := !writable(p, at, program)
		add(program, "its program", trusted)
		for _, interpreter := range interpretersOf(program, path) {
			add(interpreter, "its program's interpreter", trusted && !writable(p, at, interpreter))
		}
	}
	return rules
}

// writable reports whether the way to a program leads through something that
// the agent may write: then it decides where the way leads.
func writable(p *Policy, at *Places, program string) bool {
	for _, dir := range append([]string{at.Dir, at.Home, at.Tmp}, p.Write...) {
		if dir == "" { // explain, without a plan
			continue
		}
		dir = real(dir)
		if slices.ContainsFunc(wayTo(program), func(path string) bool { return inside(path, dir) }) {
			return true
		}
	}
	return false
}

// wayTo is every directory, link and file that the kernel passes on the way to
// path, each by its real name.
func wayTo(path string) []string {
	const maxLinks = 40 // path_resolution(7)
	var way []string
	at, rest, links := "/", strings.Split(path, "/"), 0
	for len(rest) > 0 && links < maxLinks {
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		way = append(way, next)
		target, err := os.Readlink(next)
		if err != nil {
			at = next
			continue
		}
		links++
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return way
}

// librariesOf is where a program outside of /usr has what it loads: beside it
// or beside what it is a link to.
//
//	PREFIX/bin/PROGRAM        PREFIX/lib, lib64 and libexec; pyvenv.cfg of a Python environment
//	DIR/node_modules/PACKAGE  DIR/node_modules: packages look for one another in it
//
// Nothing else of PREFIX: that may be a home.
func librariesOf(program string) []programRule {
	var rules []programRule
	add := func(within, name string) {
		path := filepath.Join(within, name)
		if !covered(path) && !slices.ContainsFunc(rules, func(r programRule) bool { return r.path == path }) {
			rules = append(rules, programRule{rule{path, execTree, "its program's libraries"}, within})
		}
	}
	for _, path := range []string{filepath.Clean(program), real(program)} {
		if before, _, ok := strings.Cut(path, "/node_modules/"); ok {
			add(filepath.Join("/", before), "node_modules")
		}
		prefix := filepath.Dir(filepath.Dir(path))
		if filepath.Base(filepath.Dir(path)) != "bin" || prefix == "/" || prefix == "/var" { // /var/lib holds data
			continue
		}
		for _, name := range []string{"lib", "lib64", "libexec", "pyvenv.cfg"} {
			add(prefix, name)
		}
	}
	return rules
}

// covered reports whether every agent has a path anyway.
func covered(path string) bool {
	for _, r := range systemRules {
		if r.rights == execTree && inside(path, r.path) {
			return true
		}
	}
	return false
}

func (r programRule) add(fd int, at *Places, handled uint64) error {
	o, err := r.open(at, handled)
	if err != nil {
		return err
	}
	return r.addOpened(fd, o)
}

// open refuses what the path should not have led to, as if nothing were there.
func (r programRule) open(at *Places, handled uint64) (*opened, error) {
	o, err := r.rule.open(handled)
	if err != nil {
		return nil, err
	}
	path, err := os.Readlink(filepath.Join("/proc/self/fd", strconv.Itoa(o.fd)))
	if err == nil && !r.fits(o, path, at) {
		err = fmt.Errorf("%s leads to %s: %w", r.path, path, os.ErrPermission)
	}
	if err != nil {
		_ = unix.Close(o.fd)
		return nil, err
	}
	return o, nil
}

func (r programRule) fits(o *opened, path string, at *Places) bool {
	if apart(path, at) != nil {
		return false
	}
	if r.within != "" {
		return inside(path, real(r.within))
	}
	// A key file is no program: execve(2) takes none that nobody may execute.
	return o.stat.Mode&unix.S_IFMT == unix.S_IFREG && o.stat.Mode&0o111 != 0
}
