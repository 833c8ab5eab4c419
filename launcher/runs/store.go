package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"sync"
	"syscall"
)

// maxRecord bounds a record file in bytes; a run writes three lines.
const maxRecord = 1 << 20

// Store is the directory of all runs of one daemon.
type Store struct{ dir string }

// Open returns the store at dir, made with mode 0700 if it is missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot open run records: %w", err)
	}
	return &Store{dir: dir}, nil
}

// ErrName says that something is not the name of an agent or a run. Names come
// from operators and become parts of paths.
var ErrName = errors.New("not the name of an agent or a run")

// dirOf is the directory of an agent, which lies directly below the store's.
func (s *Store) dirOf(agent string) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$`).MatchString(agent) {
		return "", fmt.Errorf("%w: %.70q", ErrName, agent)
	}
	return filepath.Join(s.dir, agent), nil
}

// pathOf is the record file of a run.
func (s *Store) pathOf(agent, runID string) (string, error) {
	dir, err := s.dirOf(agent)
	if err == nil && !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(runID) {
		err = fmt.Errorf("%w: %.70q", ErrName, runID)
	}
	return filepath.Join(dir, runID+recordExt), err
}

const (
	recordExt = ".jsonl"
	logExt    = ".log"
)

// Run is a run that is being recorded.
type Run struct {
	mu   sync.Mutex
	rec  Record
	file *os.File
}

// Begin puts rec on disk, record and directory entry synced. Only after Begin
// may the agent start.
func (s *Store) Begin(rec Record) (*Run, error) {
	r, err := s.begin(rec)
	if err != nil {
		return nil, fmt.Errorf("cannot record run: %w", err)
	}
	return r, nil
}

func (s *Store) begin(rec Record) (*Run, error) {
	path, err := s.pathOf(rec.Agent, rec.RunID)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	const create = os.O_WRONLY | os.O_CREATE | os.O_EXCL | os.O_APPEND
	file, err := os.OpenFile(path, create, 0o600)
	if err != nil {
		return nil, err
	}
	r := &Run{rec: rec, file: file}
	if err := errors.Join(r.write(), syncDir(dir)); err != nil {
		return nil, errors.Join(err, r.Close(), os.Remove(file.Name()))
	}
	return r, nil
}

// Resume continues the record of a run that another daemon began.
func (s *Store) Resume(rec Record) (*Run, error) {
	path, err := s.pathOf(rec.Agent, rec.RunID)
	if err != nil {
		return nil, fmt.Errorf("cannot resume run record: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot resume run record: %w", err)
	}
	if err := cutPartialLine(file); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot resume run record: %w", err), file.Close())
	}
	return &Run{rec: rec, file: file}, nil
}

// Record returns the run as it stands.
func (r *Run) Record() Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rec
}

// Update changes the record and puts it on disk.
func (r *Run) Update(change func(*Record)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.rec)
	return r.write()
}

// Note changes the record in memory alone.
func (r *Run) Note(change func(*Record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.rec)
}

func (r *Run) write() error {
	line, err := json.Marshal(r.rec)
	if err != nil {
		return fmt.Errorf("cannot encode run record: %w", err)
	}
	info, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("cannot write run record: %w", err)
	}
	if _, err := r.file.Write(append(line, '\n')); err != nil {
		// A full disk takes a part of a line: what follows must not stick to it.
		return errors.Join(fmt.Errorf("cannot write run record: %w", err), r.file.Truncate(info.Size()))
	}
	return r.file.Sync()
}

// Close closes the file. The record stays.
func (r *Run) Close() error { return r.file.Close() }

// List returns the runs of one agent, oldest first. A record without one
// complete line belongs to a run that never got permission to start: it is
// left out. What could not be read is in the error, beside the rest.
func (s *Store) List(agent string) ([]Record, error) {
	dir, err := s.dirOf(agent)
	if err != nil {
		return nil, err
	}
	names, err := s.files(agent)
	if err != nil {
		return nil, err
	}
	var out []Record
	var errs []error
	for _, name := range names {
		data, err := readFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) { // pruned meanwhile
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot read run record: %w", err))
			continue
		}
		// The names of the file and its directory count, not what is written in it.
		if rec, ok := last(data); ok && rec.Agent == agent && rec.RunID+recordExt == name {
			out = append(out, rec)
		}
	}
	return out, errors.Join(errs...)
}

func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRecord))
}

// files are the names of an agent's record files, oldest first.
func (s *Store) files(agent string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, agent))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read run records: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), recordExt) {
			names = append(names, e.Name())
		}
	}
	sort.Strings(names)
	return names, nil
}

// last decodes the last complete line that is a record: a line may be torn by
// a full disk, and what was written before it still holds.
func last(data []byte) (Record, bool) {
	for {
		end := bytes.LastIndexByte(data, '\n')
		if end < 0 {
			return Record{}, false
		}
		data = data[:end]
		var rec Record
		if json.Unmarshal(data[bytes.LastIndexByte(data, '\n')+1:], &rec) == nil && rec.RunID != "" {
			return rec, true
		}
	}
}

// Unfinished returns the runs of all agents that are not done: those a daemon
// left behind when it was killed. What is in the way of one does not hide the
// others: it is in the error, beside them.
func (s *Store) Unfinished() ([]Record, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("cannot read run records: %w", err)
	}
	var out []Record
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || e.Name() == lockDir {
			continue
		}
		records, err := s.List(e.Name())
		errs = append(errs, err)
		for _, rec := range records {
			if !rec.State.Done() {
				out = append(out, rec)
			}
		}
	}
	return out, errors.Join(errs...)
}

// Known reports whether there is a record of the run, of any agent.
func (s *Store) Known(runID string) bool {
	if !regexp.MustCompile(`^[0-9a-f-]{36}$`).MatchString(runID) {
		return false
	}
	found, err := filepath.Glob(filepath.Join(s.dir, "*", runID+recordExt))
	return err != nil || len(found) > 0
}

// SetHeld remembers that an operator stopped the agent, or lets it go again.
func (s *Store) SetHeld(agent string, held bool) error {
	dir, err := s.dirOf(agent)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "held")
	if !held {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot release agent %s: %w", agent, err)
		}
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cannot hold agent %s: %w", agent, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return fmt.Errorf("cannot hold agent %s: %w", agent, err)
	}
	return syncDir(filepath.Dir(path))
}

// Held reports whether an operator stopped the agent.
func (s *Store) Held(agent string) bool {
	_, err := os.Stat(filepath.Join(s.dir, agent, "held"))
	return err == nil
}

// cutPartialLine removes what a kill left behind the last newline.
func cutPartialLine(file *os.File) error {
	data := make([]byte, maxRecord)
	n, err := file.ReadAt(data, 0)
	if n == len(data) {
		return errors.New("record of more than 1 MiB")
	}
	end := bytes.LastIndexByte(data[:n], '\n') + 1
	if end == n {
		return nil
	}
	_ = err // io.EOF: the record is shorter than the buffer, as it should be
	return file.Truncate(int64(end))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
