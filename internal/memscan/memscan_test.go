package memscan

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// buildCommand builds the scanner: it must be a process of its own, since the
// tests have the canary in their memory.
func buildCommand(t *testing.T) string {
	t.Helper()
	// Not t.TempDir: another user must be able to execute it.
	dir, err := os.MkdirTemp("", "memscan-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "memscan")
	build := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/memscan")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile, to share its cache
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

func scan(t *testing.T, command string, r Request) *Report {
	t.Helper()
	report, err := Run(context.Background(), command, r)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestProcess(t *testing.T) {
	command := buildCommand(t)
	encode := map[Form]func([]byte) []byte{
		Raw:      func(b []byte) []byte { return b },
		Base64:   func(b []byte) []byte { return base64.StdEncoding.AppendEncode(nil, b) },
		Hex:      func(b []byte) []byte { return hex.AppendEncode(nil, b) },
		Fragment: func(b []byte) []byte { return b[len(b)-20:] },
	}
	for _, c := range []struct {
		name, place string
		form        Form
		in          string // part of the hit's place
	}{
		{"raw on the heap", "heap", Raw, " memory "},
		{"base64 on the heap", "heap", Base64, " memory "},
		{"hex on the heap", "heap", Hex, " memory "},
		{"fragment on the heap", "heap", Fragment, " memory "},
		{"anonymous mapping", "mapping", Raw, " memory "},
		{"mapping without access", "guarded", Raw, "---p"},
		{"memfd", "memfd", Raw, "memfd:test"},
		{"deleted file", "deleted", Raw, "(deleted)"},
		{"environment", "environ", Base64, "environ"},
		{"arguments", "cmdline", Base64, "cmdline"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			canary := newCanary(t, 43)
			planted := encode[c.form](canary)
			if c.place == "environ" || c.place == "cmdline" {
				planted = canary // the child's starter encodes it
			}
			pid := startChild(t, c.place, planted)
			report := scan(t, command, Request{Canaries: [][]byte{newCanary(t, 20), canary}, PIDs: []int{pid}})
			if !hasHit(report, c.form, c.in) {
				t.Errorf("not found: %+v", report)
			}
			if report.Exit() != ExitFound || report.Processes != 1 {
				t.Errorf("%+v", report)
			}
		})
	}
}

func hasHit(r *Report, form Form, in string) bool {
	for _, h := range r.Hits {
		if h.Form == form && strings.Contains(h.Place, in) && h.Canary == 1 && h.Count > 0 {
			return true
		}
	}
	return false
}

func TestCleanProcess(t *testing.T) {
	canary := newCanary(t, 43)
	pid := startChild(t, "nothing", newCanary(t, 43))
	report := scan(t, buildCommand(t), Request{Canaries: [][]byte{canary}, PIDs: []int{pid}})
	if report.Exit() != ExitClean || report.Bytes < 1<<20 || report.Mappings < 10 {
		t.Errorf("%+v", report)
	}
}

// TestRefusals: what was not read is never clean.
func TestRefusals(t *testing.T) {
	command := buildCommand(t)
	canary := newCanary(t, 43)
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	report := scan(t, command, Request{Canaries: [][]byte{canary}, PIDs: []int{gone.Process.Pid}})
	if report.Exit() != ExitError || report.Denied() {
		t.Errorf("a process that ended: %+v", report)
	}
	report = scan(t, command, Request{Canaries: [][]byte{canary}, Trees: []string{"/nonexistent"}})
	if report.Exit() != ExitError {
		t.Errorf("a tree that is not there: %+v", report)
	}
	for _, r := range []Request{
		{PIDs: []int{1}},
		{Canaries: [][]byte{[]byte("short")}, PIDs: []int{1}},
		{Canaries: [][]byte{canary}},
	} {
		if _, err := Run(context.Background(), command, r); err == nil {
			t.Errorf("%+v: accepted", r)
		}
	}
}

// TestUnreadableProcess scans, as an ordinary user, a process that is not dumpable.
func TestUnreadableProcess(t *testing.T) {
	command := buildCommand(t)
	canary := newCanary(t, 43)
	pid := startChild(t, "undumpable", canary)
	cmd := exec.Command(command, "--masked", "--pid", itoa(pid))
	cmd.Stdin = strings.NewReader(string(EncodeCanaries([][]byte{canary})))
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	report, err := outcome(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if report.Exit() != ExitError || !report.Denied() || report.Processes != 0 {
		t.Errorf("%+v", report)
	}
}

func TestTree(t *testing.T) {
	command := buildCommand(t)
	canary := newCanary(t, 43)
	root := t.TempDir()
	inside := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) string {
		path := filepath.Join(inside, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("clean", newCanary(t, 5<<20))
	request := Request{Canaries: [][]byte{newCanary(t, 20), canary}, Trees: []string{root}}
	if report := scan(t, command, request); report.Exit() != ExitClean || report.Files != 1 {
		t.Errorf("clean: %+v", report)
	}
	path := write("dirty", append(newCanary(t, 5<<20), hex.EncodeToString(canary)...))
	report := scan(t, command, request)
	if report.Exit() != ExitFound || !hasHit(report, Hex, path) || report.Hits[0].First != 5<<20 {
		t.Errorf("dirty: %+v", report)
	}
	request.Skip = []string{path}
	if report := scan(t, command, request); report.Exit() != ExitClean || report.Files != 1 {
		t.Errorf("skipped: %+v", report)
	}
}
