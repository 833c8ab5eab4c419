package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program outside of /usr brings its libraries, as npm and venv install
// them; what the agent itself puts into PATH brings none.
func TestLibraries(t *testing.T) {
	h := newHost(t)
	for path, text := range map[string]string{
		"prefix/lib/node_modules/tool/bin/cli.js":                "#!/usr/bin/env node\nconsole.log(require('dep'), require('../package.json').version)\n",
		"prefix/lib/node_modules/tool/package.json":              `{"version": "1.2.3"}`,
		"prefix/lib/node_modules/tool/node_modules/dep/index.js": "module.exports = 'a dependency'\n",
		"prefix/bin/reader":                                      "#!/bin/sh\ncat " + h.path("secret") + " " + h.path("other/lib/secret") + "; ls " + h.path("prefix/lib") + "\n",
		"other/bin/reader":                                       "#!/bin/sh\n/bin/sh " + h.path("prefix/bin/reader") + "\ncat " + h.path("other/lib/secret") + "\n",
		"other/lib/secret":                                       "canary\n", "secret": "canary\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(h.path(path)), 0o755))
		must(t, os.WriteFile(h.path(path), []byte(text), 0o755))
	}
	must(t, os.Chmod(h.path("secret"), 0o600))
	must(t, os.Symlink("../lib/node_modules/tool/bin/cli.js", h.path("prefix/bin/tool")))
	dirs := []string{h.path("prefix/bin")}
	run := func(t *testing.T, command, plant string, says string) {
		t.Helper()
		home := h.path("state/agents/" + t.Name()[strings.LastIndex(t.Name(), "/")+1:] + "/home")
		name := filepath.Base(filepath.Dir(home))
		if plant != "" { // an earlier heartbeat, by the agent
			out, code := h.exec(t, name, map[string]any{"command": "sh", "cwd": h.path("work"), "args": []string{"-c", "mkdir $HOME/bin; ln -s " + plant + " $HOME/bin/reader"}}, "", nil)
			if code != 0 {
				t.Fatalf("exit %d: %s", code, out)
			}
		}
		out, _ := h.exec(t, name, map[string]any{"command": command, "cwd": h.path("work"),
			"env": map[string]any{"PATH": home + "/bin:" + path(dirs)}}, "", nil)
		if !strings.Contains(out, says) || strings.Contains(out, "canary") {
			t.Errorf("nothing of %q, or a canary, in\n%s", says, out)
		}
	}
	t.Run("npm", func(t *testing.T) {
		node, _ := find(t, []string{"node"}, true)
		dirs = append(dirs, node...)
		run(t, "tool", "", "a dependency 1.2.3")
	})
	t.Run("venv", func(t *testing.T) {
		find(t, []string{"python3"}, false)
		if out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", h.path("venv")).CombinedOutput(); err != nil {
			t.Skipf("python3 makes no environment: %v %s", err, out)
		}
		site, err := filepath.Glob(h.path("venv/lib/python3*/site-packages"))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(site[0], "installed.py"), []byte("print('imported', __file__)\n"), 0o644))
		must(t, os.WriteFile(h.path("venv/bin/script"), []byte("#!"+h.path("venv/bin/python3")+"\nimport installed\n"), 0o755))
		run(t, h.path("venv/bin/script"), "", "imported "+h.path("venv/lib"))
	})
	t.Run("reader", func(t *testing.T) { run(t, "reader", "", "node_modules") })
	t.Run("key-in-path", func(t *testing.T) { run(t, "reader", h.path("secret"), "node_modules") })
	t.Run("library-in-path", func(t *testing.T) { run(t, "reader", h.path("other/bin/reader"), "Permission denied") })
}
