package sandbox

import (
	"fmt"
	"path/filepath"
	"slices"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Verdict says what an agent may do with one path or port.
type Verdict struct {
	Subject string `json:"subject"`        // as it was asked for
	Real    string `json:"real,omitempty"` // where the path leads, if elsewhere
	Kind    string `json:"kind"`           // file, directory, socket, device, nothing, port, unknown
	Uses    []Use  `json:"uses"`
	Note    string `json:"note,omitempty"`
}

// Use is one thing that an agent may or may not do.
type Use struct {
	Use     string `json:"use"` // read, write, execute, create; connect, listen
	Allowed bool   `json:"allowed"`
	Why     string `json:"why"`             // the rule that allows it, or what forbids it
	Add     string `json:"add,omitempty"`   // what to add to the agent's file so that its policy allows it
	Never   bool   `json:"never,omitempty"` // no policy can allow it
}

// use is one way to use a path in the kernel's terms.
type use struct {
	name   string
	access uint64 // Landlock's right
	bits   uint32 // of the mode
	list   string // the key of the policy that would give it
}

// Path says what the agent may do with an absolute path as it is now: by the
// policy's rules and by owners and modes. It looks at no ACL. Paths that the
// caller itself cannot look at are judged by their names alone.
func (x *Explained) Path(path string) Verdict {
	w := x.Identity.walk(path)
	v := Verdict{Subject: path, Kind: "unknown"}
	if w.real != filepath.Clean(path) {
		v.Real = w.real
	}
	where, uses := w.real, usesOf(&w)
	switch {
	case w.missing:
		v.Kind, where = "nothing", filepath.Dir(w.real)
		v.Note = "nothing is there"
	case w.own:
		v.Note = "it is judged by its name: each process has its own"
	case w.err != nil:
		v.Note = fmt.Sprintf("it is judged by its name alone: %v", w.err)
	default:
		v.Kind = kindOf(w.stat.Mode)
	}
	rules := x.over(where)
	for _, u := range uses {
		v.Uses = append(v.Uses, x.judge(u, &w, where, rules))
	}
	return v
}

func kindOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "device"
	}
	return "file"
}

func usesOf(w *walked) []use {
	read := use{"read", ll.AccessFSReadFile, bitRead, "read"}
	write := use{"write", ll.AccessFSWriteFile, bitWrite, "write"}
	if w.missing {
		return []use{{"create", ll.AccessFSMakeReg, bitWrite | bitSearch, "write"}}
	}
	if w.err != nil || w.own {
		return []use{read, write}
	}
	switch kindOf(w.stat.Mode) {
	case "directory":
		return []use{{"read", ll.AccessFSReadDir, bitRead, "read"}, {"write", ll.AccessFSMakeReg, bitWrite | bitSearch, "write"}}
	case "socket":
		return []use{{"connect", 0, bitWrite, ""}}
	case "device":
		return []use{read, write}
	}
	return []use{read, write, {"execute", ll.AccessFSExecute, bitExec, "exec"}}
}

// over are the rules that hold for a path, the nearest first.
func (x *Explained) over(path string) []*Rule {
	chain := inodes(path)
	var out []*Rule
	for i := range x.Rules {
		r := &x.Rules[i]
		same := r.Ino != 0 && slices.Contains(chain, [2]uint64{r.Dev, r.Ino})
		if r.Real != "" && (same || inside(path, r.Real)) {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b *Rule) int { return len(b.Real) - len(a.Real) })
	return out
}
