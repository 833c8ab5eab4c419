package sandbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// refused is a launch that fails before anything starts, and its sentence
// after "cannot start agent tester: ".
type refused struct {
	name    string
	change  func(*sandbox.LaunchSpec)
	secrets map[string]string
	want    string
}

func env(name, value string) func(*sandbox.LaunchSpec) {
	return func(s *sandbox.LaunchSpec) { s.Env[name] = value }
}

func argv(args ...string) func(*sandbox.LaunchSpec) {
	return func(s *sandbox.LaunchSpec) { s.Argv = args }
}

func dir(path string) func(*sandbox.LaunchSpec) {
	return func(s *sandbox.LaunchSpec) { s.Dir = path }
}

func refusals() []refused {
	const badName = " is not a variable name: it must match [A-Za-z_][A-Za-z0-9_]*"
	many := func(s *sandbox.LaunchSpec) {
		for i := range 5000 {
			s.Env[fmt.Sprintf("V%d", i)] = ""
		}
	}
	list := []refused{
		{"no command", argv(), nil, "the command is empty"},
		{"empty command", argv("", "x"), nil, "the command is empty"},
		{"relative directory", dir("work"), nil, `working directory "work" is not absolute`},
		{"no directory", dir(""), nil, `working directory "" is not absolute`},
		{"NUL in command", argv("/bin/true\x00x"), nil, "argument 0 holds a NUL byte, which execve cannot carry"},
		{"NUL in argument", argv("/bin/true", "a", "b\x00c"), nil, "argument 2 holds a NUL byte, which execve cannot carry"},
		{"NUL in directory", dir("/tmp\x00/x"), nil, "the working directory holds a NUL byte, which execve cannot carry"},
		{"NUL in variable", env("PLAIN", "a\x00B=c"), nil, "variable PLAIN holds a NUL byte, which execve cannot carry"},
		{"not UTF-8", argv("/bin/true", "caf\xe9"), nil, "argument 1 is not valid UTF-8: only a secret's value may hold other bytes"},
		{"not UTF-8, variable", env("PLAIN", "\xff"), nil, "variable PLAIN is not valid UTF-8: only a secret's value may hold other bytes"},
		{"name with =", env("A=B", "x"), nil, `"A=B"` + badName},
		{"name with digit", env("1A", "x"), nil, `"1A"` + badName},
		{"name with NUL", env("A\x00", "x"), nil, `"A\x00"` + badName},
		{"no name", env("", "x"), nil, "empty name"},
		{"no PATH", func(s *sandbox.LaunchSpec) { s.Argv, s.Env = []string{"true"}, nil }, nil, "true: not found, PATH names no absolute directory"},
		{"relative PATH", func(s *sandbox.LaunchSpec) { s.Argv, s.Env["PATH"] = []string{"true"}, "bin:.::" }, nil, "true: not found, PATH names no absolute directory"},
		{"many arguments", argv(append([]string{"/bin/true"}, make([]string, 4096)...)...), nil, "4097 arguments, the limit is 4096"},
		{"many variables", many, nil, "5001 variables, the limit is 4096"},
		{"long command", argv(strings.Repeat("x", 256)), nil, "the command's name has 256 bytes, the limit is 255"},
		{"long PATH", func(s *sandbox.LaunchSpec) { s.Argv, s.Env["PATH"] = []string{"true"}, strings.Repeat("/:", 4096) }, nil, "PATH has more than 4096 directories"},
		{"plain and secret", env("TOKEN", "plain"), map[string]string{"TOKEN": "hidden-value"}, "TOKEN is both a plain variable and a secret"},
	}
	for name, why := range map[string]string{
		"PAPERCLIP_API_KEY": "PAPERCLIP_API_KEY is reserved: names that begin with PAPERCLIP_ are set by the launcher",
		"PATH":              "PATH is set by the launcher and cannot be a secret",
		"HOME":              "HOME is set by the launcher and cannot be a secret",
		"LD_PRELOAD":        "LD_PRELOAD steers a loader or interpreter and cannot be a secret",
		"NODE_OPTIONS":      "NODE_OPTIONS steers a loader or interpreter and cannot be a secret",
		"BASH_ENV":          "BASH_ENV steers a loader or interpreter and cannot be a secret",
		"PYTHONSTARTUP":     "PYTHONSTARTUP steers a loader or interpreter and cannot be a secret",
	} {
		list = append(list, refused{"secret " + name, nil, map[string]string{name: "hidden-value"}, "secret: " + why})
	}
	return list
}

func TestRefusedBeforeAnythingStarts(t *testing.T) {
	h := newHost(t)
	nothing := goneKeeper(t, h)
	for _, test := range refusals() {
		t.Run(test.name, func(t *testing.T) {
			spec := command("/bin/true")
			if test.change != nil {
				test.change(&spec)
			}
			_, err := startOn(nothing, spec, h.seal(t, test.secrets), unconfined())
			wantError(t, err, "cannot start agent tester: "+test.want)
		})
	}
}

// TestBundleIsCheckedBeforeTheStage covers bundles that no control plane of
// ours would seal.
func TestBundleIsCheckedBeforeTheStage(t *testing.T) {
	h := newHost(t)
	nothing := goneKeeper(t, h)
	for _, test := range []struct {
		name   string
		change func(*protocol.Bundle)
		want   string
	}{
		{"version", func(b *protocol.Bundle) { b.Meta.Protocol = 2 }, "bundle of protocol version 2: this side speaks 1"},
		{"nothing sealed", func(b *protocol.Bundle) { b.Sealed = nil }, "sealed part of 0 bytes"},
		{"twice", func(b *protocol.Bundle) { b.Meta.Refs = append(b.Meta.Refs, b.Meta.Refs[0]) }, "A: names must ascend and none may come twice"},
		{"name", func(b *protocol.Bundle) { b.Meta.Refs[0].Name = "A B" }, `"A B" is not a variable name: it must match [A-Za-z_][A-Za-z0-9_]*`},
		{"length", func(b *protocol.Bundle) { b.Meta.Refs[0].Length = 4 << 30 >> 1 }, "A: version 1, length 2147483648"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := h.seal(t, map[string]string{"A": "hidden-value"})
			test.change(b)
			_, err := startOn(nothing, command("/bin/true"), b, unconfined())
			wantError(t, err, "cannot start agent tester: bundle: "+test.want)
		})
	}
}

// goneKeeper is a connection to a keeper that is gone: whatever is refused
// through it is refused without a keeper.
func goneKeeper(t *testing.T, h *host) *sandbox.Keeper {
	k := newKeeper(t, h.stage, h.key)
	quit(t, k)
	return k
}

// TestKeeperDoesNotStart: the stage binary or the key is not what it should be.
func TestKeeperDoesNotStart(t *testing.T) {
	h := newHost(t)
	text := filepath.Join(h.dir, "text")
	script(t, text, 0o755, "no program")
	closed := filepath.Join(h.dir, "closed.key")
	script(t, closed, 0, "a key that we may not read")
	fifo := filepath.Join(h.dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, stage, key, want string }{
		{"key is a directory", h.stage, h.dir, "cannot open the host key: " + h.dir + " is no regular file"},
		{"key is a FIFO", h.stage, fifo, "cannot open the host key: " + fifo + " is no regular file"},
		{"no stage", h.dir + "/no-stage", h.key, "fork/exec " + h.dir + "/no-stage: no such file or directory"},
		{"stage is text", text, h.key, "fork/exec " + text + ": exec format error"},
		{"stage is another program", "/bin/true", h.key, "it ended without a word"},
		{"no key", h.stage, h.dir + "/no-key", "cannot open the host key: open " + h.dir + "/no-key: no such file or directory"},
		{"unreadable key", h.stage, closed, "cannot open the host key: open " + closed + ": permission denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "unreadable key" && os.Geteuid() == 0 {
				s := h.startElsewhere(t, order{Spec: command("/bin/true"), Key: closed}, nil)
				wantError(t, fmt.Errorf("%s", s.Error), "cannot start the keeper: "+test.want)
				return
			}
			_, err := sandbox.StartKeeper(test.stage, filepath.Join(publicDir(t), "s"), test.key)
			wantError(t, err, "cannot start the keeper: "+test.want)
		})
	}
}
