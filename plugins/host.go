// Package plugins runs adapter plugins: programs of their own that say what an
// agent's configuration means (plugins/adapter is their side). A plugin gets
// an empty environment, none of the daemon's descriptors and no secret's
// value, and what it answers is checked before anyone uses it.
//
// The package starts no agent and knows neither secrets nor the control plane.
package plugins

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Options configures a Host. Dir and Open are required.
type Options struct {
	// Dir holds the plugins, executables named after their adapter types.
	Dir string
	// Open opens the file at path for reading, or reports why it must not be
	// executed. It is asked before each start, and what it opens is what runs.
	Open func(path string) (*os.File, error)
	// Pins are the SHA-256 hashes that files of plugins must have. Plugins
	// without one are as good as Open says.
	Pins map[string][sha256.Size]byte
	// RuntimeDir is where the directory with a plugin's socket (0700) lives
	// for the moment that connecting takes; default os.TempDir(). It must exist.
	RuntimeDir string
	// Log gets what plugins print, and what happens to them. Several plugins
	// call it at a time. Default: nowhere.
	Log func(Entry)
	// CallTimeout bounds Describe and Plan, the wait for a start included;
	// default 10 s. A ctx with an earlier deadline wins.
	CallTimeout time.Duration

	startTimeout, healthInterval time.Duration // tests shorten them
}

// Host runs one process per plugin: started on first use, kept, replaced when
// Refresh finds a new version, and started again on the first use after it
// ended.
type Host struct {
	opts   Options
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // one per process, and one per probe

	mu    sync.Mutex
	slots map[string]*slot
}

// NewHost starts nothing yet. Close it to end the plugins.
func NewHost(opts Options) (*Host, error) {
	if opts.Dir == "" || opts.Open == nil {
		return nil, errors.New("cannot make plugin host: Dir and Open are required")
	}
	if opts.RuntimeDir == "" {
		opts.RuntimeDir = os.TempDir()
	}
	if err := checkRuntimeDir(opts.RuntimeDir); err != nil {
		return nil, fmt.Errorf("cannot make plugin host: %w", err)
	}
	if opts.Log == nil {
		opts.Log = func(Entry) {}
	}
	if opts.CallTimeout <= 0 {
		opts.CallTimeout = 10 * time.Second
	}
	if opts.startTimeout == 0 {
		opts.startTimeout = startTimeout
	}
	if opts.healthInterval == 0 {
		opts.healthInterval = healthInterval
	}
	h := &Host{opts: opts, slots: make(map[string]*slot)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h, nil
}

// socketNameLen is the length of what go-plugin appends to the runtime
// directory: /plugin-dirN/pluginN with numbers of up to 10 digits. A socket's
// path may have 107 bytes (unix(7)).
const (
	socketNameLen = 38
	maxSocketPath = 107
)

func checkRuntimeDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("runtime directory %s is not a directory", dir)
	}
	if n := maxSocketPath - socketNameLen; len(dir) > n {
		return fmt.Errorf("runtime directory %s is too long for a socket: %d bytes, limit %d", dir, len(dir), n)
	}
	return nil
}

// PIDs returns the process id of every plugin that runs.
func (h *Host) PIDs() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	pids := make(map[string]int)
	for name, s := range h.slots {
		if s.cur.up() {
			pids[name] = s.cur.inst.proc.pid
		}
	}
	return pids
}

// Close ends all plugins and waits until they and everything that was started
// for them are gone. Calls under way fail, later ones too.
func (h *Host) Close() {
	h.mu.Lock()
	h.cancel()
	h.mu.Unlock()
	h.wg.Wait()
}
