package stage_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/open"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
)

func TestMain(m *testing.M) { testbin.Main(m) }

// keygen runs the real program: the function makes its process non-dumpable.
func keygen(t *testing.T, path string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(testbin.Build(t).Stage, "keygen", "--out", path)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestKeygen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.key")
	line, stderr, code := keygen(t, path)
	if code != 0 || stderr != "" || strings.Count(line, "\n") != 1 {
		t.Fatalf("exit %d, %q, %q", code, line, stderr)
	}
	public, err := protocol.ParseKey(protocol.PublicKeyPrefix, line, protocol.PublicKeySize)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	private, err := os.ReadFile(path)
	if err != nil || bytes.Count(private, []byte("\n")) != 1 || bytes.Contains([]byte(line), bytes.TrimSpace(private)) {
		t.Errorf("key file of %d bytes, %v", len(private), err)
	}
	checkPair(t, public, private)
	if again, _, _ := keygen(t, path+"2"); again == line {
		t.Error("two keys are the same")
	}
}

// checkPair: what is sealed to the public half opens with the private one.
func checkPair(t *testing.T, public, private []byte) {
	t.Helper()
	bundle, err := seal.Seal(public, protocol.Meta{
		BundleID: "b", CompanyID: "c", AgentID: "a", HostID: "h",
		Nonce: make([]byte, protocol.NonceSize), ExpiresAt: time.Now().Add(time.Hour).Unix(),
	}, []seal.Value{{Name: "A", SecretID: "s", Version: 1, Bytes: []byte("value")}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := open.ParseKey(private, make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	block, err := open.Open(key, bundle.Meta, bundle.Sealed, time.Now(), make([]byte, 64))
	if string(block) != "A=value\x00" {
		t.Errorf("%q, %v", block, err)
	}
}

// TestKeygenNeverReplaces: a lost host key locks the host out.
func TestKeygenNeverReplaces(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "target"), link); err != nil {
		t.Fatal(err)
	}
	for path, why := range map[string]string{
		file:             "file exists",
		link:             "file exists",
		dir:              "file exists",
		dir + "/no/file": "no such file or directory",
	} {
		stdout, stderr, code := keygen(t, path)
		want := "agent-launcher: cannot write host key: open " + path + ": " + why + "\n"
		if code != 1 || stdout != "" || stderr != want {
			t.Errorf("exit %d, %q, %q", code, stdout, stderr)
		}
	}
	if content, err := os.ReadFile(file); string(content) != "precious" || err != nil {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "target")); err == nil {
		t.Error("a key was written through a symbolic link")
	}
}

// TestKeygenOnFullDisk leaves no half of a key that looks like one.
func TestKeygenOnFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.key")
	cmd := exec.Command("/bin/sh", "-c", `ulimit -f 0; trap "" XFSZ; exec "$@"`, "sh", testbin.Build(t).Stage, "keygen", "--out", path)
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "cannot write host key: write "+path+": file too large") {
		t.Errorf("exit %d: %s", cmd.ProcessState.ExitCode(), out)
	}
	if strings.Contains(string(out), protocol.PrivateKeyPrefix) {
		t.Error("the error quotes the key")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file is left")
	}
}
