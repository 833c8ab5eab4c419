package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// MaxLog is how much of a run's output is kept, in bytes.
const MaxLog = 16 << 20

// CreateLog makes the log of a run that is about to start. The caller closes
// it, and removes it with RemoveLog if there will be no record.
func (s *Store) CreateLog(agent, runID string) (*os.File, error) {
	path, err := s.pathOf(agent, runID)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make the run's log: %w", err)
	}
	log, err := os.OpenFile(strings.TrimSuffix(path, recordExt)+logExt, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the run's log: %w", err)
	}
	return log, nil
}

// RemoveLog removes the log of a run that has no record.
func (s *Store) RemoveLog(agent, runID string) {
	if path, err := s.pathOf(agent, runID); err == nil {
		_ = os.Remove(strings.TrimSuffix(path, recordExt) + logExt) // Prune finds what stays
	}
}

// pruneLogs removes logs without a record that are older than the newest one:
// a kill came between the log and its record.
func (s *Store) pruneLogs(agent string, records []string) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, agent))
	if err != nil {
		return fmt.Errorf("cannot prune logs: %w", err)
	}
	newest := records[len(records)-1]
	for _, e := range entries {
		id, isLog := strings.CutSuffix(e.Name(), logExt)
		if record := id + recordExt; isLog && record < newest && !slices.Contains(records, record) {
			if err := os.Remove(filepath.Join(s.dir, agent, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("cannot prune logs: %w", err)
			}
		}
	}
	return nil
}

// OpenLog opens the output of a run for reading.
func (s *Store) OpenLog(agent, runID string) (*os.File, error) {
	path, err := s.pathOf(agent, runID)
	if err != nil {
		return nil, err
	}
	return os.OpenFile(strings.TrimSuffix(path, recordExt)+logExt, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
}
