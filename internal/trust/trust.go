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

// Check reports why the file at path, or a directory on the way to it, could
// be changed by anyone but root and our own user. A root-owned directory with
// the sticky bit, as /tmp, is accepted.
func Check(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", path, err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", path, err)
	}
	for _, p := range []string{abs, real} {
		if err := checkChain(p); err != nil {
			return err
		}
	}
	return nil
}

func checkChain(path string) error {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := len(parts); i >= 0; i-- {
		if err := checkOne("/" + filepath.Join(parts[:i]...)); err != nil {
			return err
		}
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
