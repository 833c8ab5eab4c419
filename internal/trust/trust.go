// Package trust refuses files that somebody else could change: what decides
// which program runs must be writable by root and ourselves alone.
//
// It looks at owners and modes. A POSIX ACL that lets another write shows in
// the group bits (acl(5)) and is refused with them. It says nothing of who may
// read a file, nor of a file that another opened for writing before its mode
// was corrected.
package trust

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Error says which path is not to be trusted and what to do.
type Error struct{ message, hint string }

func (e *Error) Error() string { return e.message }

// Hint says what to do; never empty.
func (e *Error) Hint() string { return e.hint }

// maxLinks is the kernel's own limit, path_resolution(7).
const maxLinks = 40

// Check reports why the file at path could be changed, or replaced by another,
// by anyone but root and our own effective uid: an *Error, or another error
// where the path cannot be looked at. Every directory and every link on the
// way, and what each link leads to, must be trusted. A root-owned directory
// with the sticky bit, as /tmp, is accepted: others cannot replace what is
// ours in it.
func Check(path string) error {
	_, err := walk(path)
	return err
}

// ErrReplaced says that a file was replaced while it was being opened. Who
// writes it by rename tries again.
var ErrReplaced = errors.New("it was replaced meanwhile")

// Open opens a regular file for reading that Check accepts. The file that is
// returned is the one that was checked. It does not wait for a FIFO's writer.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", path, reason(err))
	}
	if err := verify(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func verify(f *os.File, path string) error {
	checked, err := walk(path)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		return fmt.Errorf("cannot look at %s: %w", path, reason(err))
	case !os.SameFile(info, checked):
		return fmt.Errorf("cannot open %s: %w", path, ErrReplaced)
	case !info.Mode().IsRegular():
		return fmt.Errorf("cannot open %s: not a regular file", path)
	}
	return nil
}

// walk follows the path as the kernel does and returns what it leads to.
// filepath.Abs would not do: it takes "link/.." for nothing.
func walk(path string) (fs.FileInfo, error) {
	full := path
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return nil, fmt.Errorf("cannot check %s: %w", path, err)
		}
		full = dir + "/" + path
	}
	at, rest := "/", strings.Split(full, "/")
	info, err := checkOne(path, at)
	for links := 0; err == nil && len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, step) // at holds no link, so ".." is what it says
		if info, err = checkOne(path, next); err != nil {
			return nil, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		target, err := os.Readlink(next)
		if links++; err == nil && links > maxLinks {
			err = syscall.ELOOP
		}
		if err != nil {
			return nil, fmt.Errorf("cannot check %s: %w", path, err)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return info, err
}

// checkOne checks one step of the way to file.
func checkOne(file, step string) (fs.FileInfo, error) {
	info, err := os.Lstat(step)
	if err != nil {
		return nil, fmt.Errorf("cannot check %s: %w", file, err)
	}
	what := step
	if step != file {
		what = fmt.Sprintf("%s, on the way to %s,", step, file)
	}
	owner, mode := info.Sys().(*syscall.Stat_t).Uid, info.Mode()
	if owner != 0 && owner != uint32(os.Geteuid()) {
		return nil, &Error{fmt.Sprintf("%s belongs to uid %d, who could change what runs", what, owner), "chown root " + step}
	}
	sticky := mode.IsDir() && mode&fs.ModeSticky != 0 && owner == 0
	if mode&fs.ModeSymlink == 0 && mode.Perm()&0o022 != 0 && !sticky { // a link has no mode of its own
		return nil, &Error{fmt.Sprintf("%s can be written by others (owner uid %d, mode %04o)", what, owner, mode.Perm()), "chmod go-w " + step}
	}
	return info, nil
}

// reason is err without the path, which the message has already.
func reason(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}
