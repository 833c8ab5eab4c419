package runs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"golang.org/x/sys/unix"
)

// ErrBusy says that another process runs the agent.
var ErrBusy = errors.New("another agent-launcher process runs this agent: the daemon, or exec")

// lockDir holds the locks. No agent's name begins with a dot.
const lockDir = ".locks"

// Lock makes this process the only one that runs the agent of that id, whatever
// its file is called, until the lock is closed or the process ends. It fails
// with ErrBusy.
func (s *Store) Lock(agentID string) (*os.File, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._:-]{0,200}$`).MatchString(agentID) {
		return nil, fmt.Errorf("cannot lock an agent: %w: %.70q", ErrName, agentID)
	}
	dir := filepath.Join(s.dir, lockDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot lock agent %s: %w", agentID, err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, agentID), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock agent %s: %w", agentID, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if err == unix.EWOULDBLOCK {
			err = ErrBusy
		}
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}
