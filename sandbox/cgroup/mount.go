package cgroup

import (
	"errors"
	"path"
	"strconv"
	"strings"
)

// place is a cgroup2 mount and where we are in it.
type place struct {
	mount string // mount point
	root  string // what is mounted there, as /proc/PID/cgroup names it: "/", or a container's own group
	own   string // our cgroup, as /proc/PID/cgroup names it
}

// dir is the directory of the cgroup by that name. It must be below root.
func (p *place) dir(name string) string { return path.Join(p.mount, below(p.root, name)) }

// below returns name relative to root, with a leading slash; "" if it is not
// below it.
func below(root, name string) string {
	if root == "/" {
		return name
	}
	rest, ok := strings.CutPrefix(name, root)
	if !ok || rest != "" && rest[0] != '/' {
		return ""
	}
	if rest == "" {
		return "/"
	}
	return rest
}

var (
	errNoMount = errors.New("cannot use cgroups: no cgroup v2 hierarchy is mounted")
	errNoOwn   = errors.New("cannot use cgroups: this kernel has no cgroup v2")
	errOutside = errors.New("cannot use cgroups: our own cgroup is outside of what is mounted here")
)

// find reads /proc/self/mountinfo and /proc/self/cgroup.
func find(mountinfo, cgroup string) (*place, error) {
	own, ok := unified(cgroup)
	if !ok {
		return nil, errNoOwn
	}
	if own == "/.." || strings.HasPrefix(own, "/../") { // outside of our cgroup namespace
		return nil, errOutside
	}
	err := errNoMount
	var found *place
	for line := range strings.Lines(mountinfo) {
		root, mount, ok := parseMount(line)
		if !ok {
			continue
		}
		if below(root, own) == "" {
			err = errOutside
			continue
		}
		// The last one: a later mount covers an earlier one.
		found = &place{mount: mount, root: root, own: own}
	}
	if found == nil {
		return nil, err
	}
	return found, nil
}

// unified finds the line of cgroup v2, cgroups(7): hierarchy 0, no controllers.
func unified(cgroup string) (name string, ok bool) {
	for line := range strings.Lines(cgroup) {
		if name, ok := strings.CutPrefix(line, "0::"); ok {
			return strings.TrimSuffix(name, "\n"), true
		}
	}
	return "", false
}

// parseMount reads one line of mountinfo, proc_pid_mountinfo(5):
//
//	41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:1 - cgroup2 cgroup2 rw
func parseMount(line string) (root, mount string, ok bool) {
	before, after, found := strings.Cut(line, " - ")
	fields, kind := strings.Fields(before), strings.Fields(after)
	if !found || len(fields) < 6 || len(kind) < 1 || kind[0] != "cgroup2" {
		return "", "", false
	}
	root, mount = unescape(fields[3]), unescape(fields[4])
	if !strings.HasPrefix(root, "/") || !strings.HasPrefix(mount, "/") || root == "/.." || strings.HasPrefix(root, "/../") {
		return "", "", false
	}
	return root, mount, true
}

// unescape undoes the kernel's \040 for a space, \011, \012 and \134.
func unescape(s string) string {
	var out strings.Builder
	for {
		before, after, ok := strings.Cut(s, `\`)
		out.WriteString(before)
		if !ok {
			return out.String()
		}
		s = after
		if len(s) >= 3 {
			if n, err := strconv.ParseUint(s[:3], 8, 8); err == nil {
				out.WriteByte(byte(n))
				s = s[3:]
				continue
			}
		}
		out.WriteByte('\\')
	}
}
