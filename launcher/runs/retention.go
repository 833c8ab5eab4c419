package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Prune removes the oldest runs of agent beyond keep, files of runs that never
// began included. Runs that are not done stay.
func (s *Store) Prune(agent string, keep int) error {
	names, err := s.files(agent)
	if err != nil || len(names) == 0 {
		return err
	}
	if err := s.pruneLogs(agent, names); err != nil {
		return err
	}
	for _, name := range names[:max(0, len(names)-keep)] {
		if _, err := s.remove(agent, name); err != nil {
			return err
		}
	}
	return nil
}

// remove removes a record and its log, unless the run is not done.
func (s *Store) remove(agent, name string) (removed bool, err error) {
	path := filepath.Join(s.dir, agent, name)
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot prune run records: %w", err)
	}
	if rec, ok := last(data); ok && !rec.State.Done() {
		return false, nil
	}
	// The log goes first: a record without a log is complete, a log without a
	// record would never be found again.
	for _, file := range []string{strings.TrimSuffix(path, recordExt) + logExt, path} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, fmt.Errorf("cannot prune run records: %w", err)
		}
	}
	return true, nil
}

// old is a run that is not its agent's last.
type old struct {
	agent, name string
	at          time.Time // of the last change of its record
	size        int64     // of its log
}

// Retain removes runs that ended before since, and then the oldest until all
// logs together have at most size bytes; a zero of either means any. Each
// agent's last run stays, and what is not done.
func (s *Store) Retain(since time.Time, size int64) error {
	runs, total, err := s.old()
	slices.SortFunc(runs, func(a, b old) int { return a.at.Compare(b.at) })
	errs := []error{err}
	for _, r := range runs {
		if !r.at.Before(since) && (size == 0 || total <= size) {
			break
		}
		removed, err := s.remove(r.agent, r.name)
		if removed {
			total -= r.size
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// old lists all runs but each agent's last, and the size of all logs.
func (s *Store) old() (out []old, total int64, err error) {
	agents, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read run records: %w", err)
	}
	var errs []error
	for _, e := range agents {
		if !e.IsDir() || e.Name() == lockDir {
			continue
		}
		names, err := s.files(e.Name())
		errs = append(errs, err)
		for i, name := range names {
			id := strings.TrimSuffix(name, recordExt)
			r := old{agent: e.Name(), name: name}
			if info, err := os.Lstat(filepath.Join(s.dir, e.Name(), name)); err == nil {
				r.at = info.ModTime()
			}
			if info, err := os.Lstat(filepath.Join(s.dir, e.Name(), id+logExt)); err == nil {
				r.size = info.Size()
			}
			if total += r.size; i < len(names)-1 {
				out = append(out, r)
			}
		}
	}
	return out, total, errors.Join(errs...)
}
