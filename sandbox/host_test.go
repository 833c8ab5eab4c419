package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// host is an agent host: the real keeper and stage, and a host key that they
// made.
type host struct {
	*sandbox.Keeper
	stage  string
	dir    string // every user may enter it
	key    string
	public []byte
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{stage: testbin.Build(t).Stage, dir: publicDir(t)}
	h.key = filepath.Join(h.dir, "host.key")
	h.public = keygen(t, h.stage, h.key)
	h.Keeper = newKeeper(t, h.stage, h.key)
	return h
}

// newKeeper is a keeper at a socket of its own, which ends with the test.
func newKeeper(t testing.TB, stage, key string) *sandbox.Keeper {
	t.Helper()
	k, err := sandbox.StartKeeper(stage, filepath.Join(publicDir(t), "keeper.sock"), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { quit(t, k) })
	return k
}

func quit(t testing.TB, k *sandbox.Keeper) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	if err := k.Quit(ctx); err != nil && !errors.Is(err, sandbox.ErrKeeperGone) {
		t.Error(err)
	}
}

// proc is a process whose output comes through a pipe.
type proc struct {
	*sandbox.Process
	Output *os.File
	Memory string // once it was released
}

// Start starts spec as a run of its own.
func (h *host) Start(spec sandbox.LaunchSpec, bundle *protocol.Bundle, policy sandbox.Policy) (*proc, error) {
	return startOn(h.Keeper, spec, bundle, policy)
}

func startOn(k *sandbox.Keeper, spec sandbox.LaunchSpec, bundle *protocol.Bundle, policy sandbox.Policy) (*proc, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	spec.Run, spec.Log = uuid.NewString(), w
	p, err := k.Start(spec, bundle, policy)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &proc{Process: p, Output: r}, nil
}

// Release is that of the process, and keeps what it says.
func (p *proc) Release() (err error) {
	p.Memory, err = p.Process.Release()
	return err
}

// Cancel ends it, whatever became of it.
func (p *proc) Cancel() {
	p.Process.Cancel()
	_ = p.Output.Close()
}

func keygen(t testing.TB, stage, path string) []byte {
	t.Helper()
	line, err := exec.Command(stage, "keygen", "--out", path).Output()
	if err != nil {
		t.Fatalf("keygen: %v", err)
	}
	public, err := protocol.ParseKey(protocol.PublicKeyPrefix, string(line), protocol.PublicKeySize)
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// publicDir is a t.TempDir that agents of other users can enter.
func publicDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-launcher-sandbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func meta() protocol.Meta {
	return protocol.Meta{
		BundleID: "bundle-1", CompanyID: "company-1", AgentID: "agent-1", HostID: "host-1",
		Nonce: bytes.Repeat([]byte{7}, protocol.NonceSize), ExpiresAt: time.Now().Add(time.Hour).Unix(),
	}
}

func (h *host) seal(t testing.TB, secrets map[string]string) *protocol.Bundle {
	t.Helper()
	bundle, err := seal.Seal(h.public, meta(), values(secrets))
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func values(secrets map[string]string) []seal.Value {
	var out []seal.Value
	for name, value := range secrets {
		out = append(out, seal.Value{Name: name, SecretID: "secret-of-" + name, Version: 1, Bytes: []byte(value)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// command is a launch spec with the customary PATH and nothing else.
func command(argv ...string) sandbox.LaunchSpec {
	return sandbox.LaunchSpec{Agent: "tester", Argv: argv, Dir: "/", Env: map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin"}}
}

// self is this test binary in the role of role.
func self(t testing.TB, role string, args ...string) []string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{path, role}, args...)
}

// publicSelf is a copy of this test binary that every user can execute: go
// test links it into a directory that only ours can enter. cp writes it,
// because a child that this process forks meanwhile would keep it open for
// writing and execve would answer ETXTBSY.
func publicSelf(t testing.TB, h *host, role string, args ...string) []string {
	t.Helper()
	argv := self(t, role, args...)
	path := filepath.Join(h.dir, "test-binary")
	if _, err := os.Stat(path); err != nil {
		if out, err := exec.Command("cp", argv[0], path).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	argv[0] = path
	return argv
}

// deadline is how long a test waits for what takes milliseconds.
const deadline = 15 * time.Second

func withDeadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

func (h *host) start(t testing.TB, spec sandbox.LaunchSpec, bundle *protocol.Bundle) *proc {
	t.Helper()
	p, err := h.Start(spec, bundle, unconfined())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Cancel)
	return p
}

// run lets an agent run to its end and returns all it printed.
func (h *host) run(t testing.TB, spec sandbox.LaunchSpec, bundle *protocol.Bundle, policy sandbox.Policy) (string, sandbox.Exit) {
	t.Helper()
	p, err := h.Start(spec, bundle, policy)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Cancel)
	return finish(t, p)
}

func finish(t testing.TB, p *proc) (string, sandbox.Exit) {
	t.Helper()
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	out := readAll(t, p)
	exit, err := p.Wait(withDeadline(t))
	if err != nil {
		t.Fatal(err)
	}
	return out, exit
}

func readAll(t testing.TB, p *proc) string {
	t.Helper()
	if err := p.Output.SetReadDeadline(time.Now().Add(deadline)); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(p.Output)
	if err != nil {
		t.Fatalf("output: %v after %q", err, out)
	}
	return string(out)
}

// must runs an agent that has to succeed.
func (h *host) must(t testing.TB, spec sandbox.LaunchSpec, bundle *protocol.Bundle) string {
	t.Helper()
	out, exit := h.run(t, spec, bundle, unconfined())
	if !exit.Known || exit.Code != 0 || exit.Signal != 0 {
		t.Fatalf("%v: %s", exit, out)
	}
	return out
}

// procStatus is a /proc/PID/status as a map.
func procStatus(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok {
			out[name] = strings.Join(strings.Fields(value), " ")
		}
	}
	return out
}

// poll waits until done, for what the kernel tells nobody.
func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); !done(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, deadline)
		}
	}
}

// ended reports whether pid is no more, or a zombie.
func ended(pid int) bool {
	data, err := os.ReadFile(procPath(pid, "status"))
	return err != nil || strings.HasPrefix(procStatus(string(data))["State"], "Z")
}

func asUser(uid uint32) *syscall.SysProcAttr {
	if os.Geteuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
}

func runQuietly(argv ...string) error { return exec.Command(argv[0], argv[1:]...).Run() }

// atoi is 0 for what is no number.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// unconfined is the policy of tests that are about launching alone; what
// confinement does stands in internal/e2e.
func unconfined() sandbox.Policy { return sandbox.Policy{Profile: sandbox.ProfileOff} }
