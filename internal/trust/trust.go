// Package trust refuses files that somebody else could change: what decides
// which program runs must be writable by root and ourselves alone.
package trust

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Error says which path is not to be trusted and what to do.
type Error struct{ message, hint string }

func (e *Error) Error() string { return e.message }

// Hint says what to do.
func (e *Error) Hint() string { return e.hint }

// maxLinks is the kernel's own limit, path_resolution(7).
const maxLinks = 40

// Check reports why the file at path could be changed, or replaced by another,
// by anyone but root and our own user. It walks the path as the kernel does:
// every directory and every link on the way, and what each link leads to,
// must be trusted. A root-owned directory with the sticky bit, as /tmp, is
// accepted.
func Check(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", path, err)
	}
	at, rest := "/", strings.Split(abs[1:], "/")
	if err := checkOne(at); err != nil {
		return err
	}
	for links := 0; len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		next := filepath.Join(at, step) // at holds no link, so ".." is what it says
		if step == "" || step == "." || step == ".." {
			at = next
			continue
		}
		if err := checkOne(next); err != nil {
			return err
		}
		target, err := os.Readlink(next)
		if err != nil { // no link
			at = next
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("cannot check %s: too many links", path)
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return nil
}

func checkOne(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", path, err)
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner != 0 && owner != uint32(os.Geteuid()) {
		return &Error{fmt.Sprintf("%s belongs to uid %d, who could change what runs", path, owner),
			fmt.Sprintf("chown root %s", path)}
	}
	if info.Mode()&os.ModeSymlink != 0 { // a link has no mode of its own
		return nil
	}
	if info.Mode().Perm()&0o022 == 0 || info.IsDir() && info.Mode()&os.ModeSticky != 0 && owner == 0 {
		return nil
	}
	return &Error{fmt.Sprintf("%s can be written by others (mode %04o)", path, info.Mode().Perm()), fmt.Sprintf("chmod go-w %s", path)}
}
