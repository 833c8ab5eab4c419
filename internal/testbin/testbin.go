// Package testbin gives tests the project's real programs, linked once per test
// process. A package whose tests use it ends its TestMain with Main or Cleanup:
//
//	func TestMain(m *testing.M) { testbin.Main(m) }
package testbin

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Env names the variable that holds a directory as `make build` and `make
// build-demo` fill it. With it set nothing is linked: `make test` does so.
const Env = "AGENT_LAUNCHER_BIN"

// Bin holds the absolute paths of the programs. Every user can execute them
// and only ours can write them, so that they pass the launcher's trust rule.
type Bin struct {
	Dir          string // has all of the below
	Launcher     string // agent-launcher
	Stage        string // agent-launcher-stage
	ControlPlane string // control-plane
	Plugins      string // pluginsDir of a config: plugins, with process in it
	DemoAgent    string // demo/agent, prints SHA-256s of the variables that its arguments name
	Memscan      string // demo/memscan, see package memscan
}

func newBin(dir string) Bin {
	return Bin{
		Dir:          dir,
		Launcher:     filepath.Join(dir, "agent-launcher"),
		Stage:        filepath.Join(dir, "agent-launcher-stage"),
		ControlPlane: filepath.Join(dir, "control-plane"),
		Plugins:      filepath.Join(dir, "plugins"),
		DemoAgent:    filepath.Join(dir, "demo", "agent"),
		Memscan:      filepath.Join(dir, "demo", "memscan"),
	}
}

// Build returns the programs. The first call in a process makes them, a failure
// ends every test that asks.
func Build(t testing.TB) Bin {
	t.Helper()
	bin, err := shared.make()
	if err != nil {
		t.Fatalf("cannot build the programs: %v", err)
	}
	return bin
}

// Main runs the tests, removes the programs and ends the process.
func Main(m *testing.M) {
	code := m.Run()
	Cleanup()
	os.Exit(code)
}

// Cleanup removes the programs, for a TestMain that has more to do than Main.
// No Build may follow.
func Cleanup() { shared.remove() }

// shared is per process by its nature: linking takes seconds.
var shared programs

type programs struct {
	once sync.Once
	bin  Bin
	err  error
}

func (p *programs) make() (Bin, error) {
	p.once.Do(func() {
		dir, err := newDir()
		if err != nil {
			p.err = err
			return
		}
		p.bin = newBin(dir)
		p.err = fill(dir, os.Getenv(Env))
	})
	return p.bin, p.err
}

func (p *programs) remove() {
	if p.bin.Dir != "" {
		_ = os.RemoveAll(p.bin.Dir)
	}
}

// newDir makes a directory that agents of another user can enter.
func newDir() (string, error) {
	dir, err := os.MkdirTemp("", "agent-launcher-bin-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}
