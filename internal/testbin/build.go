package testbin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

// targets are the directories of a Bin and the packages linked into each, as in
// the Makefile.
var targets = []struct {
	dir      string
	packages []string
}{
	{"", []string{"./cmd/agent-launcher", "./cmd/agent-launcher-stage", "./cmd/control-plane"}},
	{"plugins", []string{"./plugins/process", "./plugins/claude_local", "./plugins/codex_local"}},
	{"demo", []string{"./internal/demo/agent", "./internal/memscan/cmd/memscan"}},
}

// fill puts the programs into dir: those of prebuilt, or linked here.
//
// They are copied even though they exist: the work tree may lie below a
// directory that agents of another user cannot enter, or that the trust rule
// refuses (a umask of 002 is enough).
func fill(dir, prebuilt string) error {
	if prebuilt != "" {
		return copyTree(prebuilt, dir)
	}
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if err := readSources(root); err != nil {
		return err
	}
	for _, target := range targets {
		out := filepath.Join(dir, target.dir) + string(filepath.Separator)
		if err := link(root, out, target.packages); err != nil {
			return err
		}
	}
	return nil
}

// readSources looks at every Go file, so that go test knows that its cached
// result depends on them: it sees what a test opens, not what go build does.
func readSources(root string) error {
	return filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // another test's
		}
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && (entry.Name() == "bin" || entry.Name()[0] == '.') {
			return filepath.SkipDir
		}
		if filepath.Ext(path) == ".go" {
			_, err = os.Stat(path)
		}
		return err
	})
}

func link(root, out string, packages []string) error {
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", out}, packages...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %v: %s", err, output)
	}
	return openTo(out)
}

// copyTree copies with cp: if this process wrote the files, a child that it
// forks meanwhile would keep them open and execve would give ETXTBSY.
func copyTree(from, to string) error {
	cmd := exec.Command("cp", "-R", filepath.Clean(from)+"/.", to)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %v: %s", err, output)
	}
	return openTo(to)
}

// openTo sets the modes that Bin promises, whatever the umask is.
func openTo(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	})
}

// moduleRoot is the directory with go.mod, at or above the working directory:
// go test runs a package's tests in its own.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = parent
	}
}
