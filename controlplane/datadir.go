package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// openDir makes sure that path is a directory of mode 0700 and locks it. The
// lock ends with the file or the process, however that ends.
func openDir(path string) (*os.File, error) {
	if err := ensureDir(path); err != nil {
		return nil, fmt.Errorf("cannot use data directory %s: %w", path, err)
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, fmt.Errorf("cannot use data directory %s: %w", path, err)
	}
	return lock, nil
}

func ensureDir(path string) error {
	if path == "" {
		return errors.New("no path given")
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	// Closing a directory that others work in, such as /tmp, would break them.
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	_, ours := os.Lstat(filepath.Join(path, lockFile))
	if len(entries) > 0 && ours != nil {
		return withHint(fmt.Errorf("others may look into it (mode %04o) and it already holds other files", info.Mode().Perm()),
			"give a directory of its own, or chmod 700 it")
	}
	return os.Chmod(path, 0o700)
}

const lockFile = "control-plane.lock"

func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(path, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, err
		}
		return nil, fmt.Errorf("another control-plane has it open%s", holder(f))
	}
	if err := errors.Join(f.Truncate(0), writePID(f)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func writePID(f *os.File) error {
	_, err := f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// holder names the process that has the lock, if it wrote its id.
func holder(f fs.File) string {
	pid := make([]byte, 16)
	n, _ := f.Read(pid) // nothing read: no name to give
	if n == 0 {
		return ""
	}
	return " (process " + strings.TrimSpace(string(pid[:n])) + ")"
}
