package launcher

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher says when adapter files, or plugins, may have changed. It does not
// say what: the daemon reads all of them again and compares.
type watcher struct {
	suffix  string        // of the files whose change of mode matters
	changed chan struct{} // capacity 1
	notify  *fsnotify.Watcher
	done    chan struct{}

	mu  sync.Mutex
	dir string
}

// settle is how long the directory must be quiet: an editor writes, renames
// and removes several files for one change.
const settle = 50 * time.Millisecond

func newWatcher(suffix string) (*watcher, error) {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("cannot watch files: %w", err)
	}
	w := &watcher{suffix: suffix, changed: make(chan struct{}, 1), notify: n, done: make(chan struct{})}
	go w.loop()
	return w, nil
}

// follow watches dir, the directory above it (dir may be replaced, or appear
// later) and the directories that its links lead to: the usual way to switch
// many files at once is to swap one link.
func (w *watcher) follow(dir string) {
	w.mu.Lock()
	w.dir = dir
	w.mu.Unlock()
	want := map[string]bool{dir: true, filepath.Dir(dir): true}
	for _, path := range append(entries(dir), dir) {
		if real, err := filepath.EvalSymlinks(path); err == nil && real != path {
			want[filepath.Dir(real)] = true
		}
	}
	for _, old := range w.notify.WatchList() {
		if !want[old] {
			_ = w.notify.Remove(old) // gone already, perhaps with its directory
		}
	}
	for path := range want {
		// A directory that is replaced keeps its name but is another inode:
		// adding it again is how the new one is found. A missing one is seen
		// through the directory above it.
		_ = w.notify.Add(path)
	}
}

func entries(dir string) []string {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range list {
		if e.Type()&os.ModeSymlink != 0 {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

func (w *watcher) loop() {
	defer close(w.done)
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	for {
		select {
		case event, ok := <-w.notify.Events:
			if !ok {
				return
			}
			if w.concerns(event) {
				quiet.Reset(settle)
			}
		case _, ok := <-w.notify.Errors:
			if !ok {
				return
			}
			quiet.Reset(settle) // an overflow: something was missed, so read everything
		case <-quiet.C:
			select {
			case w.changed <- struct{}{}:
			default:
			}
		}
	}
}

// concerns leaves out what the directory above does to others.
func (w *watcher) concerns(e fsnotify.Event) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if filepath.Dir(e.Name) == filepath.Dir(w.dir) && e.Name != w.dir {
		return false
	}
	return e.Op != fsnotify.Chmod || strings.HasSuffix(e.Name, w.suffix)
}

func (w *watcher) close() {
	_ = w.notify.Close()
	<-w.done
}
