package uids

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/trust"
)

// onDisk is the file: whose each uid is, by agent id.
type onDisk struct {
	Version int               `json:"version"`
	Agents  map[string]uint32 `json:"agents"`
}

const (
	version = 1
	maxFile = 16 << 20 // bytes; a full 32-bit range does not fit, a hundred thousand agents do
)

// FileError says that the file is not what a Table wrote, or not ours.
type FileError struct {
	File string
	why  string
}

func (e *FileError) Error() string { return fmt.Sprintf("cannot use %s: %s", e.File, e.why) }

// Hint says what to do.
func (e *FileError) Hint() string {
	return "it says which files on disk are whose: restore it from a backup. Without one, stop every agent, move it away, " +
		"and remove the HOMEs in " + filepath.Join(filepath.Dir(e.File), "agents") + " or give each to its agent's new uid"
}

func (t *Table) read() (map[string]uint32, error) {
	info, err := os.Lstat(t.file)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]uint32{}, nil
	}
	if err == nil && !info.Mode().IsRegular() { // a link to a disk that is not there must not look like a first start
		return nil, &FileError{t.file, "it is no regular file"}
	}
	f, err := trust.Open(t.file)
	for range 100 { // write replaces it, and reading needs no lock
		if !errors.Is(err, trust.ErrReplaced) {
			break
		}
		f, err = trust.Open(t.file)
	}
	if err != nil {
		return nil, &FileError{t.file, err.Error()}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", t.file, err)
	}
	given, why := parse(data)
	if why != "" {
		return nil, &FileError{t.file, why}
	}
	return given, nil
}

// parse takes nothing but what write writes. why is empty if it did.
func parse(data []byte) (given map[string]uint32, why string) {
	if len(data) > maxFile {
		return nil, "it is too large"
	}
	var d onDisk
	if err := json.Unmarshal(data, &d, json.RejectUnknownMembers(true)); err != nil {
		return nil, "it is damaged"
	}
	if d.Version != version || d.Agents == nil {
		return nil, fmt.Sprintf("it has version %d, this program knows %d", d.Version, version)
	}
	owner := map[uint32]bool{}
	for id, uid := range d.Agents {
		if id == "" || uid == 0 || owner[uid] {
			return nil, fmt.Sprintf("uid %d is root's, nobody's, or given twice", uid)
		}
		owner[uid] = true
	}
	return d.Agents, ""
}

// write replaces the file in one step. After a crash at any moment it is the
// old one or the new one, whole; the temporary file beside it means nothing.
func (t *Table) write(given map[string]uint32) error {
	data, err := json.Marshal(onDisk{version, given}, json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", t.file, err)
	}
	temporary := t.file + ".tmp"
	if err := writeSynced(temporary, append(data, '\n')); err != nil {
		return fmt.Errorf("cannot write %s: %w", t.file, err)
	}
	if err := os.Rename(temporary, t.file); err != nil {
		return fmt.Errorf("cannot replace %s: %w", t.file, err)
	}
	return syncDir(filepath.Dir(t.file))
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot sync the state directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock keeps other processes, and other goroutines, from giving uids. The
// kernel drops it with the process, however it ends. Who holds it needs a
// millisecond: one that is stopped while it does must not stop the daemon too.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the table of uids: %w", err)
	}
	const patience, pause = 5 * time.Second, 2 * time.Millisecond
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR || time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("cannot lock the table of uids, %s: %w", path, err), f.Close())
		}
	}
}
