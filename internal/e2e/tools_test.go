//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/internal/trust"
)

// digests are SHA-256s of what is run. The lock file has npm's own of the
// packages; these hold for a cache that is older than this run, too.
func digests() map[string]string {
	return map[string]string{
		claude: "f390eaa0814e6a1bff74cbb47acb74cb9c89d30ced809fe0af5af00c7bfe8ebb",
		codex:  "b452ca20f838a8855a88a41050ee4a694033fff4ea3ecdad5633e6e0e8d13f2b",
	}
}

// installTools returns a node_modules with the tools of testdata/clis. They are
// 770 MB and are kept for the next run.
func installTools(t *testing.T) (modules string) {
	t.Helper()
	if runtime.GOARCH != "amd64" {
		t.Skip("the pinned tools are programs for amd64")
	}
	lock, err := os.ReadFile("testdata/clis/package-lock.json")
	must(t, err)
	dir := filepath.Join(cacheDir(), fmt.Sprintf("%x", sha256.Sum256(lock))[:12])
	if _, err := os.Stat(dir); os.IsNotExist(err) {
		install(t, dir)
	}
	modules = filepath.Join(dir, "node_modules")
	for tool, want := range digests() {
		path := filepath.Join(modules, tool)
		must(t, trust.Check(path)) // the cache lies where others can write
		if got, err := digest(path); err != nil || got != want {
			t.Fatalf("%s: SHA-256 %s, want %s (%v): remove %s, and it is installed again", path, got, want, err, dir)
		}
	}
	return modules
}

// cacheDir lies outside of the work tree, and of homes, which agents with
// other uids cannot enter.
func cacheDir() string {
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "agent-launcher-e2e")
	}
	return fmt.Sprintf("/var/tmp/agent-launcher-e2e-%d", os.Geteuid())
}

// install is npm ci, which installs what the lock file says and nothing else.
func install(t *testing.T, dir string) {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatal("npm is missing: the real command-line tools are installed with it")
	}
	must(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	must(t, err)
	defer os.RemoveAll(fresh)
	must(t, os.Chmod(fresh, 0o755))
	must(t, os.CopyFS(fresh, os.DirFS("testdata/clis")))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	ci := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier")
	ci.Dir = fresh
	if out, err := ci.CombinedOutput(); err != nil {
		t.Fatalf("npm cannot install the real command-line tools; is its registry there? %v\n%s", err, out)
	}
	must(t, os.Rename(fresh, dir))
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return hex.EncodeToString(hash.Sum(nil)), err
}
