// Package sessions keeps what an adapter wants to know again at the next run of
// an agent and task. It knows nothing of runs in progress.
//
// Each agent has one file, DIR/AGENTID.json, 0600, which is replaced as a whole:
// a kill -9 leaves the old one or the new one.
package sessions

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// Keep is how many tasks of an agent are remembered: those that ran last.
const Keep = 100

// Session is the one of a task.
type Session struct {
	runs.Session
	Task        string     `json:"task"`
	AdapterType string     `json:"adapterType"`
	Refs        []runs.Ref `json:"refs"` // what the run had: other versions, another session
}

// Store is the directory of all sessions of one daemon.
type Store struct{ dir string }

// Open returns the store at dir, made with mode 0700 if it is missing.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot open sessions: %w", err)
	}
	return &Store{dir: dir}, nil
}

// Get returns the session of a task, nil if there is none for this adapter type.
func (s *Store) Get(agentID, adapterType, task string) (*Session, error) {
	all, err := s.read(agentID)
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		if x.Task == task && x.AdapterType == adapterType {
			return &x, nil
		}
	}
	return nil, nil
}

// Put remembers x in place of the task's last session. One agent has one caller
// at a time. A file that cannot be read is replaced.
func (s *Store) Put(agentID string, x Session) error {
	return s.change(agentID, x.Task, []Session{x})
}

// Drop forgets the session of a task.
func (s *Store) Drop(agentID, task string) error { return s.change(agentID, task, nil) }

func (s *Store) change(agentID, task string, first []Session) error {
	all, err := s.read(agentID)
	if err != nil && !errors.Is(err, errBroken) {
		return err
	}
	rest := slices.DeleteFunc(all, func(x Session) bool { return x.Task == task })
	all = append(first, rest...)
	return s.write(agentID, all[:min(len(all), Keep)])
}

func (s *Store) path(agentID string) (string, error) {
	if !regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._:-]{0,200}$`).MatchString(agentID) {
		return "", fmt.Errorf("cannot find sessions: %.70q is no agent id", agentID)
	}
	return filepath.Join(s.dir, agentID+".json"), nil
}

func (s *Store) read(agentID string) ([]Session, error) {
	path, err := s.path(agentID)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read sessions: %w", err)
	}
	var all []Session
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%w: %s: %v", errBroken, path, err)
	}
	return all, nil
}

var errBroken = errors.New("cannot read sessions: this file is broken")

func (s *Store) write(agentID string, all []Session) error {
	path, err := s.path(agentID)
	if err != nil {
		return err
	}
	data, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("cannot encode sessions: %w", err)
	}
	if err := replace(path, data); err != nil {
		return fmt.Errorf("cannot write sessions: %w", err)
	}
	return nil
}

// replace leaves the old file or the new one, whatever comes in between.
func replace(path string, data []byte) error {
	next := path + ".new" // of a kill at most, and the next one's
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(next, path)
}
