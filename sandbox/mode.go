package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// walked is where a path leads an agent.
type walked struct {
	real    string      // without links, as far as it goes
	stat    unix.Stat_t // of real; of the directory that it would be in, if it is missing
	missing bool        // nothing is there, but it could be made
	own     bool        // below /proc/self, which is another for each process
	closed  string      // why modes keep the agent from getting there
	err     error       // why nobody gets there, or why it could not be looked at
}

// ownProc is what means another thing to each process that opens it.
var ownProc = regexp.MustCompile(`^/proc/(self|thread-self)$`)

// maxLinks is the kernel's own limit, path_resolution(7).
const maxLinks = 40

// walk follows a path as the kernel would for an agent with this identity. It
// looks at owners and modes, and at no ACL.
func (id *Identity) walk(path string) walked {
	w := walked{real: "/"}
	rest := split(path)
	for links := 0; len(rest) > 0 && w.err == nil; {
		if w.enter(id); w.err != nil {
			break
		}
		next := filepath.Join(w.real, rest[0]) // real holds no link, so ".." is what it says
		rest = rest[1:]
		if ownProc.MatchString(next) {
			w.real, w.own = filepath.Join(append([]string{next}, rest...)...), true
			// Ours has the same modes, and the agent's belongs to the agent.
			w.err = unix.Lstat(w.real, &w.stat)
			w.stat.Uid, w.stat.Gid = id.UID, id.GID
			return w
		}
		target := w.step(next, len(rest) == 0)
		if target == "" {
			continue
		}
		if links++; links > maxLinks {
			w.err = unix.ELOOP
		}
		if target[0] == '/' {
			w.real = "/"
		}
		rest = append(split(target), rest...)
	}
	if w.err == nil && !w.missing {
		w.err = unix.Lstat(w.real, &w.stat)
	}
	if len(rest) > 0 { // to name what was asked for
		w.real = filepath.Join(append([]string{w.real}, rest...)...)
	}
	return w
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// enter looks whether the agent may search the directory where it is.
func (w *walked) enter(id *Identity) {
	if w.err = unix.Lstat(w.real, &w.stat); w.err != nil {
		return
	}
	if w.stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		w.err = unix.ENOTDIR
		return
	}
	if w.closed == "" && !id.may(&w.stat, bitSearch) {
		w.closed = fmt.Sprintf("%s, on the way there, has %s: that keeps out %s", w.real, modeOf(&w.stat), id)
	}
}

// step goes to next, or returns where it leads if it is a link.
func (w *walked) step(next string, last bool) (target string) {
	var st unix.Stat_t
	err := unix.Lstat(next, &st)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		if target, w.err = os.Readlink(next); w.err == nil {
			return target // the kernel lets no link be empty
		}
		return ""
	}
	w.real = next
	if w.missing = last && err == unix.ENOENT; !w.missing {
		w.err = err
	}
	return ""
}

// inodes are those of a path and of every directory above it that can be
// looked at: a rule on any of them holds for the path.
func inodes(path string) [][2]uint64 {
	var out [][2]uint64
	for ; ; path = filepath.Dir(path) {
		var st unix.Stat_t
		if unix.Lstat(path, &st) == nil {
			out = append(out, [2]uint64{st.Dev, st.Ino})
		}
		if path == "/" {
			return out
		}
	}
}

// Bits of a mode, for one of owner, group and others.
const (
	bitRead   = 4
	bitWrite  = 2
	bitSearch = 1 // of a directory
	bitExec   = 1
)

// may reports whether modes give a process without capabilities these bits.
func (id *Identity) may(st *unix.Stat_t, bits uint32) bool {
	mode := st.Mode
	switch {
	case st.Uid == id.UID:
		mode >>= 6
	case st.Gid == id.GID || slices.Contains(id.Groups, st.Gid):
		mode >>= 3
	}
	return mode&bits == bits
}

func modeOf(st *unix.Stat_t) string {
	return fmt.Sprintf("mode %04o and belongs to uid %d, gid %d", st.Mode&0o7777, st.Uid, st.Gid)
}

func (id *Identity) String() string { return fmt.Sprintf("uid %d, gid %d", id.UID, id.GID) }
