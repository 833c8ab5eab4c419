package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
	"github.com/agent-launcher/agent-launcher/sandbox"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

const notOpen = "cannot open the bundle: it was made for another host, agent or request, or was altered"

// altered are bundles that somebody between the control plane and the stage
// changed or exchanged.
func altered(t *testing.T, h *host) map[string]struct {
	change func(*protocol.Bundle)
	want   string
} {
	other := keygen(t, h.stage, filepath.Join(h.dir, "other.key"))
	foreign, err := seal.Seal(other, meta(), values(map[string]string{"A": "hidden-value", "B": "hidden-value"}))
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at func(n int) int) func(*protocol.Bundle) {
		return func(b *protocol.Bundle) { b.Sealed[at(len(b.Sealed))] ^= 1 }
	}
	type c = struct {
		change func(*protocol.Bundle)
		want   string
	}
	return map[string]c{
		"another host's key":     {func(b *protocol.Bundle) { *b = *foreign }, "cannot open the bundle: it is sealed to another host key than this host's"},
		"claims our key":         {func(b *protocol.Bundle) { k := b.Meta.KeyID; *b = *foreign; b.Meta.KeyID = k }, "cannot open the bundle: it is sealed to another host key than this host's"},
		"another agent":          {func(b *protocol.Bundle) { b.Meta.AgentID = "agent-2" }, notOpen},
		"another company":        {func(b *protocol.Bundle) { b.Meta.CompanyID = "company-2" }, notOpen},
		"another host":           {func(b *protocol.Bundle) { b.Meta.HostID = "host-2" }, notOpen},
		"another request":        {func(b *protocol.Bundle) { b.Meta.Nonce[0]++ }, notOpen},
		"another bundle":         {func(b *protocol.Bundle) { b.Meta.BundleID = "bundle-2" }, notOpen},
		"another version":        {func(b *protocol.Bundle) { b.Meta.Refs[0].Version++ }, notOpen},
		"another secret":         {func(b *protocol.Bundle) { b.Meta.Refs[0].SecretID = "x" }, notOpen},
		"another name":           {func(b *protocol.Bundle) { b.Meta.Refs[0].Name = "AA" }, notOpen},
		"names exchanged":        {func(b *protocol.Bundle) { b.Meta.Refs[0].Name, b.Meta.Refs[1].Name = "A", "C" }, notOpen},
		"one ref less":           {func(b *protocol.Bundle) { b.Meta.Refs = b.Meta.Refs[:1] }, notOpen},
		"lengths moved":          {func(b *protocol.Bundle) { b.Meta.Refs[0].Length--; b.Meta.Refs[1].Length++ }, notOpen},
		"life prolonged":         {func(b *protocol.Bundle) { b.Meta.ExpiresAt++ }, notOpen},
		"expired":                {func(b *protocol.Bundle) { b.Meta.ExpiresAt = 1 }, "cannot open the bundle: it has expired"},
		"bit of the ciphertext":  {flip(func(n int) int { return 50 }), notOpen},
		"bit of the wrapped key": {flip(func(n int) int { return n - 1 }), notOpen},
		"bit of the CBOR":        {flip(func(int) int { return 0 }), "cannot open the bundle: it is malformed"},
		"truncated":              {func(b *protocol.Bundle) { b.Sealed = b.Sealed[:len(b.Sealed)-1] }, "cannot open the bundle: it is malformed"},
		"garbage":                {func(b *protocol.Bundle) { b.Sealed = []byte("<html>") }, "cannot open the bundle: it is malformed"},
	}
}

func TestAlteredBundleStartsNothing(t *testing.T) {
	h := newHost(t)
	for name, test := range altered(t, h) {
		t.Run(name, func(t *testing.T) {
			mark := filepath.Join(t.TempDir(), "ran")
			b := h.seal(t, map[string]string{"A": "hidden-value", "B": "hidden-value"})
			test.change(b)
			failure(t, h.start(t, command("/bin/sh", "-c", "> "+mark), b), test.want, wire.StepOpen, 125)
			if _, err := os.Stat(mark); err == nil {
				t.Error("the agent ran")
			}
		})
	}
}

// failure releases p, which has to fail with the sentence, step and exit code,
// quoting no value, and to be gone.
func failure(t *testing.T, p *proc, want string, step wire.Step, code int) {
	t.Helper()
	err := p.Release()
	wantError(t, err, "cannot start agent tester: "+want)
	var start *sandbox.StartError
	if !errors.As(err, &start) {
		t.Fatalf("%#v is no StartError", err)
	}
	if start.Failure.Step != step || start.ExitCode() != code {
		t.Errorf("step %d, exit code %d; want %d, %d", start.Failure.Step, start.ExitCode(), step, code)
	}
	if strings.Contains(err.Error(), "hidden-value") {
		t.Error("the error quotes a value")
	}
	if exit, err := p.Wait(withDeadline(t)); err != nil || exit.Began {
		t.Errorf("after a failed Release: %v, %v", exit, err)
	}
}

func TestKeyFileHoldsNoKey(t *testing.T) {
	h := newHost(t)
	own, err := os.ReadFile(h.key)
	if err != nil {
		t.Fatal(err)
	}
	const noKey = "cannot read the host key: the file does not hold a host private key as keygen writes it"
	for name, test := range map[string]struct{ content, want string }{
		"empty":             {"", noKey},
		"garbage":           {"\x00\xff garbage", noKey},
		"long":              {strings.Repeat("x", 1<<20), noKey},
		"public key":        {protocol.FormatKey(protocol.PublicKeyPrefix, h.public) + "\n", noKey},
		"prefix alone":      {protocol.PrivateKeyPrefix, noKey},
		"cut short":         {string(own[:len(own)-5]), noKey},
		"not base64":        {protocol.PrivateKeyPrefix + strings.Repeat("!", 43), noKey},
		"two lines":         {string(own) + string(own), noKey},
		"another host's":    {"", "cannot open the bundle: it is sealed to another host key than this host's"},
		"with CRLF (works)": {strings.TrimSpace(string(own)) + "\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			key := filepath.Join(t.TempDir(), "key")
			step := wire.StepKey
			switch name {
			case "another host's":
				keygen(t, h.stage, key)
				step = wire.StepOpen
			default:
				script(t, key, 0o600, test.content)
			}
			p, err := startOn(newKeeper(t, h.stage, key), command("/bin/true"), h.seal(t, map[string]string{"A": "hidden-value"}), unconfined())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Cancel)
			if test.want == "" {
				finish(t, p)
				return
			}
			failure(t, p, test.want, step, 125)
		})
	}
}

func TestProgramDoesNotStart(t *testing.T) {
	h := newHost(t)
	file := func(name string, mode os.FileMode, text string) string {
		path := filepath.Join(h.dir, name)
		script(t, path, mode, text)
		return path
	}
	notFound := ": not found (the program, or the interpreter that its first line names)"
	text := file("text", 0o755, "echo no interpreter line\n")
	closed := file("closed", 0o644, "#!/bin/sh\n")
	orphan := file("orphan", 0o755, "#!/nonexistent/interpreter\n")
	broken := file("broken", 0o755, "\x7fELF, but not quite")
	for name, test := range map[string]struct {
		program, want string
		code          int
	}{
		"missing":             {"/nonexistent/program", "/nonexistent/program" + notFound, 127},
		"below a file":        {text + "/program", text + "/program" + notFound, 127},
		"missing in PATH":     {"no-such-program", "no-such-program" + notFound, 127},
		"no interpreter":      {orphan, orphan + notFound, 127},
		"not executable":      {closed, "cannot execute " + closed + ": permission denied", 126},
		"directory":           {h.dir, "cannot execute " + h.dir + ": permission denied", 126},
		"directory by a name": {"..", "cannot execute ..: permission denied", 126},
		"text":                {text, text + ": neither a program of this machine nor a script that begins with #!", 126},
		"broken ELF":          {broken, broken + ": neither a program of this machine nor a script that begins with #!", 126},
	} {
		t.Run(name, func(t *testing.T) {
			p := h.start(t, command(test.program), h.seal(t, map[string]string{"A": "hidden-value"}))
			failure(t, p, test.want, wire.StepExec, test.code)
		})
	}
}

func TestDirectoryCannotBeEntered(t *testing.T) {
	h := newHost(t)
	file := filepath.Join(h.dir, "file")
	script(t, file, 0o644, "")
	for dir, why := range map[string]string{"/nonexistent/dir": "no such file or directory", file: "not a directory"} {
		spec := command("/bin/true")
		spec.Dir = dir
		failure(t, h.start(t, spec, nil), fmt.Sprintf("uid %d cannot enter working directory %s: %s", os.Geteuid(), dir, why), wire.StepDir, 125)
	}
	closed := filepath.Join(h.dir, "closed")
	if err := os.Mkdir(closed, 0o000); err != nil {
		t.Fatal(err)
	}
	spec := command("/bin/true")
	spec.Dir = closed
	const prefix = "cannot start agent tester: "
	why := " cannot enter working directory " + closed + ": permission denied"
	s := h.startElsewhere(t, order{Spec: spec, Release: true}, nil)
	wantError(t, errors.New(s.Error), prefix+fmt.Sprintf("uid %d", ordinaryOr(os.Geteuid()))+why)
	if os.Geteuid() == 0 { // a root without capabilities is no exception
		_, err := os.ReadDir(closed)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(closed, ordinaryUID, ordinaryUID); err != nil {
			t.Fatal(err)
		}
		failure(t, h.start(t, spec, nil), "uid 0"+why, wire.StepDir, 125)
	}
}
