// Package plugins runs adapter plugins: programs of their own that say what an
// agent's configuration means (plugins/adapter is their side). A plugin gets
// no secret's value, and what it answers is checked before anyone uses it.
//
// The package starts no process itself: Options.Start does, which has the keeper
// confine a plugin as it confines agents. It knows neither secrets nor the
// control plane.
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

// Options configures a Host. Dir, Open, Start and RuntimeDir are required.
type Options struct {
	// Dir holds the plugins, executables named after their adapter types.
	Dir string
	// Open opens the file at path for reading, or reports why it must not be
	// executed. It is asked before each start, and what it opens is what runs.
	Open func(path string) (*os.File, error)
	// Pins are the SHA-256 hashes that files of plugins must have. Plugins
	// without one are as good as Open says.
	Pins map[string][sha256.Size]byte
	// Start starts a plugin. The host calls it for several at a time.
	Start func(Program) (*Process, error)
	// RuntimeDir is where the directory with a plugin's socket lives for the
	// moment that connecting takes. It exists, and plugins may pass through it.
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
	if opts.Dir == "" || opts.Open == nil || opts.Start == nil {
		return nil, errors.New("cannot make plugin host: Dir, Open and Start are required")
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

// MaxRuntimeDir is the longest RuntimeDir in bytes. A socket's path may have 107
// (unix(7)), of which go-plugin takes /plugin-dirN/pluginN with numbers of up to
// 10 digits.
const MaxRuntimeDir = 107 - 38

func checkRuntimeDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("runtime directory %s is not a directory", dir)
	}
	if len(dir) > MaxRuntimeDir {
		return fmt.Errorf("runtime directory %s is too long for a socket: %d bytes, limit %d", dir, len(dir), MaxRuntimeDir)
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
			pids[name] = s.cur.inst.proc.pid()
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
