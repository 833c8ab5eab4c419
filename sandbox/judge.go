package sandbox

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// judge asks everything that must agree: Landlock or seccomp, modes, mounts.
func (x *Explained) judge(u use, w *walked, where string, rules []*Rule) Use {
	out := Use{Use: u.name}
	by, ok := x.granted(u, rules)
	var against []string
	if !ok {
		out.Never, by = x.never(where, by)
		if against = append(against, by); !out.Never {
			out.Add = x.add(u, where)
		}
	}
	if why := x.foreignProcess(w.real); why != "" && ok {
		against, out.Never = append(against, why), true
	}
	if why := x.forbidden(u, w); why != "" {
		against = append(against, why)
	}
	if out.Allowed = len(against) == 0; out.Allowed {
		out.Why = by
	} else {
		out.Why = strings.Join(against, "; and ")
	}
	return out
}

// granted is what Landlock, or for sockets seccomp, says, and by which rule.
func (x *Explained) granted(u use, rules []*Rule) (by string, ok bool) {
	if u.name == "connect" {
		if x.UnixSockets {
			return "unix sockets are open", true
		}
		return "the agent may make no unix sockets", false
	}
	if x.Profile == ProfileOff {
		return "profile off", true
	}
	for _, r := range rules {
		if r.Access&u.access != 0 {
			return fmt.Sprintf("rule %s: %s", r.Path, r.Why), true
		}
	}
	switch {
	case x.Handled&u.access == 0:
		return "this kernel cannot restrict it", true
	case len(rules) > 0:
		return fmt.Sprintf("rule %s gives only %s", rules[0].Path, rules[0].Rights), false
	}
	return "no rule opens it", false
}

// never reports whether no policy can open a path, and why; else it returns
// why unchanged.
func (x *Explained) never(path, why string) (bool, string) {
	agents := filepath.Dir(filepath.Dir(x.Home))
	at := &Places{Home: x.Home, Tmp: filepath.Join(filepath.Dir(x.Home), "tmp"), Private: x.Private}
	switch {
	case x.Home != "" && inside(path, real(agents)) && path != real(agents) && !inside(path, real(filepath.Dir(x.Home))):
		return true, "it is another agent's own directory, which no policy can open"
	case apart(path, at) == nil:
		return false, why
	}
	for _, private := range x.Private {
		if inside(path, real(private)) {
			return true, "it is the launcher's own, which no policy can open"
		}
	}
	return true, why + ", and it cannot be opened whole, since the launcher's own files are below it: open what is needed in it, by name"
}

// add is the line that would give a use; the lists that are there already stay.
func (x *Explained) add(u use, path string) string {
	if u.name == "connect" {
		return `"sandbox": {"unixSockets": true}`
	}
	var list []string
	for _, r := range x.Rules {
		if r.Why == "sandbox."+u.list {
			list = append(list, r.Path)
		}
	}
	quoted, err := json.Marshal(append(list, path))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(`"sandbox": {"%s": %s}`, u.list, strings.ReplaceAll(string(quoted), `","`, `", "`))
}

// forbidden is what modes and mounts have against a use that the policy may
// well allow.
func (x *Explained) forbidden(u use, w *walked) string {
	if w.closed != "" {
		return w.closed
	}
	switch {
	case w.err == nil:
	case !w.own && (w.err == unix.ENOENT || w.err == unix.ENOTDIR || w.err == unix.ELOOP):
		return w.err.Error()
	default:
		return "" // not known
	}
	if !x.Identity.may(&w.stat, u.bits) {
		what := "it"
		if w.missing {
			what = filepath.Dir(w.real)
		}
		return fmt.Sprintf("%s has %s: that keeps out %s", what, modeOf(&w.stat), &x.Identity)
	}
	return mounted(u, w)
}

func mounted(u use, w *walked) string {
	var fs unix.Statfs_t
	path := w.real
	if w.missing {
		path = filepath.Dir(path)
	}
	if unix.Statfs(path, &fs) != nil {
		return ""
	}
	kind := kindOf(w.stat.Mode)
	writes := u.bits&bitWrite != 0 && (kind == "file" || kind == "directory")
	makes := u.access&ll.AccessFSMakeReg != 0
	switch {
	case makes && (fs.Type == unix.SYSFS_MAGIC || fs.Type == unix.PROC_SUPER_MAGIC):
		return "only the kernel makes files there"
	case writes && fs.Flags&unix.ST_RDONLY != 0:
		return "its file system is mounted read-only"
	case u.name == "execute" && fs.Flags&unix.ST_NOEXEC != 0:
		return "its file system is mounted noexec"
	}
	return ""
}

// traced is what of a process only those may open who may trace it, proc(5).
var traced = regexp.MustCompile(`^/proc/([0-9]+)/(task/[0-9]+/)?(auxv|cwd|environ|exe|fd|fdinfo|maps|map_files|mem|numa_maps|pagemap|personality|root|smaps|smaps_rollup|stack|syscall|timers)(/|$)`)

func (x *Explained) foreignProcess(path string) string {
	if x.Profile == ProfileOff || x.Handled == 0 || !traced.MatchString(path) {
		return ""
	}
	return "it is of a process outside the agent's own sandbox, and Landlock lets none be traced"
}
