package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
)

func TestMain(m *testing.M) { testbin.Main(m) }

func TestCommandLine(t *testing.T) {
	for _, test := range []struct {
		args   string
		code   int
		stderr string
	}{
		{"", 2, usage},
		{"stage extra", 2, usage},
		{"keygen", 2, usage},
		{"keygen --out", 2, usage},
		{"keygen --in file", 2, usage},
		{"--help", 2, usage},
		{"sweep", 2, usage},
		{"sweep root:root", 2, ""},
		{"sweep 1:1 extra", 2, usage},
		{"stage", 125, ""}, // nobody listens: it has no status pipe
		{"masker", 2, usage},
		{"masker 1:1 extra", 2, usage},
		{"masker 1:1", 125, ""}, // there is no keeper
		{"keeper", 2, usage},
		{"keeper --socket /nonexistent/s", 2, usage},
		{"keeper --socket /nonexistent/s --host-key k extra", 2, usage},
		{"keeper --once", 2, usage},
		{"keeper --colour", 2, usage},
		{"keeper --socket s --host-key credential:k", 1, "agent-launcher: keeper: --host-key credential:k: systemd gave this unit no such credential, see LoadCredential=\n"},
		{"keeper --socket s --host-key k --daemon-user no-such-user", 1, "agent-launcher: keeper: --daemon-user: no user \"no-such-user\" on this host\n"},
		{"keeper --socket s --host-key k --allow-user root", 1, "agent-launcher: keeper: cannot allow user \"root\": agents never run as root by name\n"},
		{"keeper --socket s --host-key k --uid-range 0-5", 1, "agent-launcher: keeper: --uid-range \"0-5\": must be A-B with 0 < A < B, such as 61184-65519\n"},
		{"keeper --socket s --host-key k --uid-range 7-7", 1, "agent-launcher: keeper: --uid-range \"7-7\": must be A-B with 0 < A < B, such as 61184-65519\n"},
		{"keeper --socket s --host-key /nonexistent/k", 1, "agent-launcher: keeper: cannot open the host key: open /nonexistent/k: no such file or directory\n"},
	} {
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(testbin.Build(t).Stage, strings.Fields(test.args)...)
		cmd.Dir = t.TempDir()
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		_ = cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != test.code || stderr.String() != test.stderr || stdout.Len() != 0 {
			t.Errorf("%q: exit %d, %q, %q", test.args, code, stdout.String(), stderr.String())
		}
	}
}

// imports are the packages that the stage is made of, without those that are
// internal to the standard library: they follow from the rest and differ from
// one Go version to the next.
func imports(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if .Standard}}std {{end}}{{.ImportPath}}", ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		path, std := strings.CutPrefix(line, "std ")
		if std && (slices.Contains(strings.Split(path, "/"), "internal") || strings.HasPrefix(path, "vendor/")) {
			continue
		}
		list = append(list, path)
	}
	slices.Sort(list)
	return list
}

// TestImports pins what is in the one program that holds values and reads the
// host key. Each package here is trusted with both and costs start time.
func TestImports(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command, to list imports")
	}
	got := imports(t)
	pinned := filepath.Join("testdata", "imports.txt")
	data, err := os.ReadFile(pinned)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(data))
	for _, path := range got {
		if !slices.Contains(want, path) {
			t.Errorf("the stage now imports %s. Do without it; if it must be, say why in the change and add it to %s", path, pinned)
		}
	}
	for _, path := range want {
		if !slices.Contains(got, path) {
			t.Errorf("the stage imports %s no longer: remove it from %s", path, pinned)
		}
	}
}

// TestNeverImported: these do not belong where values are, list or no list.
func TestNeverImported(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command, to list imports")
	}
	const own = "github.com/agent-launcher/agent-launcher/"
	ownAllowed := []string{"cmd/agent-launcher-stage", "internal/harden", "protocol", "protocol/open", "sandbox/cgroup", "sandbox/keeper", "sandbox/masker", "sandbox/stage", "sandbox/stage/forms", "sandbox/tree", "sandbox/wire"}
	for _, path := range imports(t) {
		if ours, ok := strings.CutPrefix(path, own); ok && !slices.Contains(ownAllowed, ours) {
			t.Errorf("the stage imports %s of the daemon", ours)
		}
		for _, never := range []string{"net", "os/exec", "log", "plugin", "text/template", "html/template", "encoding/json", "encoding/gob", "expvar", "testing", "go.uber.org", "google.golang.org", "github.com/hashicorp"} {
			if path == never || strings.HasPrefix(path, never+"/") {
				t.Errorf("the stage imports %s", path)
			}
		}
	}
}
