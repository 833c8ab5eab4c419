// Package uids gives each agent, and each plugin, a uid of its own out of a
// range, for good.
//
// The file that remembers them is part of what lies on disk: an agent's HOME
// belongs to its uid. So a uid is never given to a second agent, not even when
// the first is gone, because its HOME stays; and a file that cannot be read is
// an error, never a fresh start. When the range is used up, the next agent is
// refused.
package uids

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

// Table is a range of uids and the file that says whose they are. It keeps
// nothing in memory: the daemon and `exec` may use one file at the same time.
type Table struct {
	file string
	uids config.UIDRange
}

// Open returns the table that file, STATE/uids.json, keeps. The file need not
// exist; its directory must when the first uid is given. It fails if the file
// is there and is not what a Table wrote.
func Open(file string, r config.UIDRange) (*Table, error) {
	t := &Table{file: file, uids: r}
	_, err := t.read()
	return t, err
}

// OutsideError says that an agent's uid is not in the range, which was changed.
type OutsideError struct {
	Agent string // its id
	UID   uint32
	Range config.UIDRange
	File  string
}

func (e *OutsideError) Error() string {
	return fmt.Sprintf("agent %s has uid %d, which is outside uidRange %s now", e.Agent, e.UID, e.Range)
}

// For returns the uid of the agent with this id, and gives it one if it has
// none: the lowest that is free. Once it has returned, the uid is on disk. The
// error is *OutsideError if the agent's uid is not in the range any more, or
// says that all uids are given away or that the file cannot be used.
func (t *Table) For(agentID string) (uint32, error) {
	if uid, known, err := t.Look(agentID); known || err != nil {
		return uid, err
	}
	unlock, err := lock(t.file + ".lock")
	if err != nil {
		return 0, err
	}
	defer unlock()
	given, err := t.read() // again: another may have been here meanwhile
	if err != nil {
		return 0, err
	}
	if uid, ok := given[agentID]; ok {
		return t.inRange(agentID, uid)
	}
	uid, err := t.free(given)
	if err != nil {
		return 0, err
	}
	given[agentID] = uid
	return uid, t.write(given)
}

// Look returns the agent's uid without giving one. known is false if it has
// none yet. The errors are those of For.
func (t *Table) Look(agentID string) (uid uint32, known bool, err error) {
	given, err := t.read()
	if err != nil {
		return 0, false, err
	}
	uid, known = given[agentID]
	if !known {
		return 0, false, nil
	}
	uid, err = t.inRange(agentID, uid)
	return uid, true, err
}

func (t *Table) inRange(agentID string, uid uint32) (uint32, error) {
	if !t.uids.Holds(uid) {
		return 0, &OutsideError{Agent: agentID, UID: uid, Range: t.uids, File: t.file}
	}
	return uid, nil
}

// free is the lowest uid that is nobody's.
func (t *Table) free(given map[string]uint32) (uint32, error) {
	taken := map[uint32]bool{}
	for _, dir := range []string{"agents", "plugins"} {
		if err := homes(filepath.Join(filepath.Dir(t.file), dir), taken); err != nil {
			return 0, err
		}
	}
	for _, uid := range given {
		taken[uid] = true
	}
	for uid := t.uids.First; t.uids.Holds(uid); uid++ {
		if !taken[uid] && !account(uid) {
			return uid, nil
		}
	}
	return 0, fmt.Errorf("uidRange is used up: %d uids, and each belongs to an agent, a HOME or an account; "+
		"widen uidRange in the configuration (an agent that is gone keeps its uid, since its HOME remains)", t.uids.Agents())
}

// homes adds the owners of the directories of agents, or plugins. With the file
// lost, they are all that says whose a uid was.
func homes(dir string, owners map[uint32]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot look at the agents' directories: %w", err)
	}
	for _, e := range entries {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, e.Name(), "home"), &st); err == nil {
			owners[st.Uid] = true
		} else if err != unix.ENOENT && err != unix.ENOTDIR {
			return fmt.Errorf("cannot see whose HOME of %s is: %w", e.Name(), err)
		}
	}
	return nil
}

// account reports whether a user or a group of this host has that number. The
// agents' group ids are their uids.
func account(uid uint32) bool {
	n := strconv.FormatUint(uint64(uid), 10)
	_, noUser := user.LookupId(n)
	_, noGroup := user.LookupGroupId(n)
	return noUser == nil || noGroup == nil
}
