package plugins

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// keeperEnv is the keeper of a daemon that another test kills.
const keeperEnv = "PLUGINS_TEST_KEEPER"

// pluginUID is nobody's: as root, plugins have it; as an ordinary user, ours.
const pluginUID = 61234

// shared is the real keeper of all hosts: one per process, as in a daemon.
var shared keeperOnce

type keeperOnce struct {
	once sync.Once
	dir  string
	k    *sandbox.Keeper
	err  error
}

func sharedKeeper(t testing.TB) *sandbox.Keeper {
	t.Helper()
	stage := testbin.Build(t).Stage
	shared.once.Do(func() {
		if shared.dir, shared.err = os.MkdirTemp("", "plugins-keeper-"); shared.err == nil {
			shared.k, shared.err = sandbox.TemporaryKeeper(stage, filepath.Join(shared.dir, "keeper.sock"), "")
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.k
}

func (s *keeperOnce) end() {
	if s.k != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.k.Quit(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func starterOf(t testing.TB, k *sandbox.Keeper, dir string) func(Program) (*Process, error) {
	t.Helper()
	return func(p Program) (*Process, error) { return startWith(k, dir, p) }
}

// startWith starts a plugin as package launcher does.
func startWith(k *sandbox.Keeper, dir string, p Program) (*Process, error) {
	base := filepath.Join(dir, p.Name)
	if err := os.MkdirAll(base, 0o711); err != nil {
		return nil, err
	}
	var user *sandbox.User
	if k.Host().Switch {
		user = &sandbox.User{Name: "plugin", UID: pluginUID, GID: pluginUID}
	}
	proc, err := k.StartPlugin(&sandbox.Plugin{Name: p.Name, Run: uuid.NewString(), Path: p.Path, Program: p.File, Env: p.Env,
		User: user, Base: base, Socket: p.SocketDir, Stdout: p.Stdout, Stderr: p.Stderr})
	if err != nil {
		return nil, err
	}
	done, how := make(chan struct{}), ""
	go func() {
		defer close(done)
		exit, _ := proc.Wait(context.Background())
		proc.Forget()
		if how = exit.String(); exit.Why != "" {
			how = ""
		}
	}()
	return &Process{PID: proc.PID, Level: proc.Level, Kill: func() { _ = proc.Kill() }, Done: done, Exit: func() string { return how }}, nil
}

// openDir is a directory that plugins of another user may pass through.
func openDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "plugins-") // not t.TempDir: a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
