package stage

import (
	"encoding/hex"
	"strconv"

	"golang.org/x/sys/unix"
)

// sweeper empties a directory whose content is hostile.
//
// It never goes deeper than one level: a directory that is found inside another
// is moved up to the top under a fresh name and emptied there. So a tree may be as
// deep as it likes without growing a stack, holding descriptors or making
// paths long; and memory holds two counters, however wide it is. Every
// call names one entry of a directory that is held open, and follows no link.
type sweeper struct {
	top    int
	prefix string // of fresh names; random, so that none is taken
	next   uint64 // the next fresh name
	done   uint64 // fresh names below this one have been looked at

	progress bool  // something changed in this pass
	err      error // why something was left in this pass, the last reason
}

// maxPasses bounds the work against somebody who makes files as fast as they are
// removed. One pass is enough for any tree that nobody changes; more are
// needed where a full disk has no room to move directories up at first.
const maxPasses = 1000

func newSweeper(fd int) (*sweeper, error) {
	if err := makeOurs(fd); err != nil {
		return nil, err
	}
	top, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var random [8]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return nil, err
	}
	return &sweeper{top: top, prefix: ".sweep-" + hex.EncodeToString(random[:]) + "-"}, nil
}

// run goes over the directory until a pass finds it empty, or changes nothing.
func (s *sweeper) run() error {
	for range maxPasses {
		s.progress, s.err = false, nil
		found, err := each(s.top, func(name string) { s.remove(s.top, name, s.clear) })
		if err != nil {
			return err
		}
		for ; s.done < s.next; s.done++ {
			s.clear(s.fresh(s.done))
		}
		if !found {
			return nil
		}
		if !s.progress && s.err != nil {
			return s.err
		}
	}
	return unix.EBUSY
}

func (s *sweeper) fresh(n uint64) string { return s.prefix + strconv.FormatUint(n, 10) }

func (s *sweeper) note(err error) {
	if err == nil {
		s.progress = true
	} else if err != unix.ENOENT {
		s.err = err
	}
}

// remove removes one entry of dir; full is what to do with a directory that is
// not empty.
func (s *sweeper) remove(dir int, name string, full func(name string)) {
	err := unix.Unlinkat(dir, name, 0)
	if err != unix.EISDIR {
		s.note(err)
		return
	}
	err = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	if err != unix.ENOTEMPTY && err != unix.EEXIST {
		s.note(err)
		return
	}
	full(name)
}

// clear empties and removes a directory in the top. If it fails the next pass
// tries again.
func (s *sweeper) clear(name string) {
	if err := unix.Unlinkat(s.top, name, unix.AT_REMOVEDIR); err == nil || err == unix.ENOENT {
		s.note(err)
		return
	}
	dir, err := openIn(s.top, name)
	if err != nil {
		s.note(err)
		return
	}
	defer unix.Close(dir)
	if _, err := each(dir, func(name string) { s.remove(dir, name, func(name string) { s.lift(dir, name) }) }); err != nil {
		s.note(err)
	}
	s.note(unix.Unlinkat(s.top, name, unix.AT_REMOVEDIR))
}

// lift moves a directory up to the top. A directory can only be moved by who may
// write to it, because its ".." changes.
func (s *sweeper) lift(dir int, name string) {
	err := unix.Renameat(dir, name, s.top, s.fresh(s.next))
	if err == unix.EACCES {
		fd, openErr := openIn(dir, name) // makes it ours
		if openErr != nil {
			s.note(openErr)
			return
		}
		_ = unix.Close(fd)
		err = unix.Renameat(dir, name, s.top, s.fresh(s.next))
	}
	s.note(err)
	if err == nil {
		s.next++
	}
}

// openIn opens a directory for reading. What is mounted there belongs to
// somebody else, and is EXDEV.
func openIn(dir int, name string) (int, error) {
	fd, err := unix.Openat2(dir, name, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	if err := makeOurs(fd); err != nil {
		return -1, err
	}
	return unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// makeOurs lets the owner of a directory list it and change what is in it. fd may
// be O_PATH, of which fchmod(2) wants nothing to know, and a name inside
// cannot be looked up before.
func makeOurs(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return unix.ENOTDIR
	}
	if st.Mode&0o700 == 0o700 {
		return nil
	}
	mode := st.Mode&0o7777 | 0o700
	err := unix.Fchmodat(fd, "", mode, unix.AT_EMPTY_PATH) // Linux 6.6
	if err == unix.EOPNOTSUPP || err == unix.ENOSYS {
		err = unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
	}
	if err == unix.EPERM { // somebody else's, with a mode that may do
		return nil
	}
	return err
}

// each calls visit for the entries of a directory, from its beginning, and
// reports whether there was any. What visit removes does not disturb it; what is
// added meanwhile may be missed.
func each(dir int, visit func(name string)) (found bool, err error) {
	if _, err := unix.Seek(dir, 0, unix.SEEK_SET); err != nil {
		return false, err
	}
	buf := make([]byte, 32<<10)
	var names []string
	for {
		n, err := unix.Getdents(dir, buf)
		if n <= 0 || err != nil {
			return found, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names[:0])
		for _, name := range names {
			found = true
			visit(name)
		}
	}
}
