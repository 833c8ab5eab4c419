package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// libraryScene is a directory with programs, and what lies beside them.
func libraryScene(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	ok(t, err)
	for _, file := range []string{
		"node/bin/node", "node/lib/node_modules/tool/bin/cli.js", "venv/lib/x", "venv/pyvenv.cfg", "python/bin/python3", "python/lib64/x",
		"home/bin/agent", "home/.ssh/id", "work/bin/run", "stolen/bin/tool", "stolen/lib/x", "elsewhere/x", "trap/bin/tool", "plain/tool", "plain/lib/x",
	} {
		path := filepath.Join(dir, file)
		ok(t, os.MkdirAll(filepath.Dir(path), 0o755))
		ok(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755))
	}
	ok(t, os.Chmod(filepath.Join(dir, "home/.ssh/id"), 0o600))
	for link, to := range map[string]string{
		"node/bin/tool": "../lib/node_modules/tool/bin/cli.js", "venv/bin/python": "../../python/bin/python3", "venv/lib64": "lib",
		"work/link": "../stolen", "chain": "work/link", "work/bin/key": "../../home/.ssh/id", "work/bin/tool": "../../stolen/bin/tool", "trap/lib": "../elsewhere",
	} {
		ok(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755))
		ok(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	return dir
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What is opened for a program: itself and its libraries, and nothing that
// somebody made it lead to.
func TestProgramRules(t *testing.T) {
	dir := libraryScene(t)
	at := &Places{Dir: filepath.Join(dir, "work"), Home: filepath.Join(dir, "nowhere/home"), Tmp: filepath.Join(dir, "nowhere/tmp"), Private: []string{filepath.Join(dir, "plain")}}
	for program, want := range map[string]string{
		"node/bin/node":                         "node/bin/node node/lib",
		"node/bin/tool":                         "node/lib/node_modules/tool/bin/cli.js node/lib node/lib/node_modules",
		"node/lib/node_modules/tool/bin/cli.js": "node/lib/node_modules/tool/bin/cli.js node/lib/node_modules",
		"venv/bin/python":                       "python/bin/python3 venv/lib venv/lib venv/pyvenv.cfg python/lib64",
		"home/bin/agent":                        "home/bin/agent",
		"work/bin/run":                          "work/bin/run",    // opened anyway
		"work/bin/tool":                         "stolen/bin/tool", // runs, but lib is not the agent's to choose
		"work/link/bin/tool":                    "stolen/bin/tool",
		"chain/bin/tool":                        "stolen/bin/tool",
		"stolen/bin/tool":                       "stolen/bin/tool stolen/lib",
		"work/bin/key":                          "", // no program
		"trap/bin/tool":                         "trap/bin/tool",
		"plain/tool":                            "", // the launcher's own
		"stolen/bin/missing":                    "",
		"stolen/bin":                            "",
	} {
		var got []string
		for _, r := range programRules(&Policy{Profile: ProfileWorkspace}, at, filepath.Join(dir, program), "") {
			if shown, err := r.explain(^uint64(0), func(handled uint64) (*opened, error) { return r.open(at, handled) }); err == nil && strings.HasPrefix(shown.Real, dir) {
				got = append(got, strings.TrimPrefix(shown.Real, dir+"/"))
			} else if err != nil && !leftOut(err) {
				t.Errorf("%s: %v", program, err)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s opens %q, want %q", program, got, want)
		}
	}
}

// What every agent has needs no rule, and data of services are no libraries.
func TestLibrariesOf(t *testing.T) {
	for program, want := range map[string]string{"/usr/bin/x": "", "/usr/local/bin/x": "", "/bin/x": "", "/var/bin/x": "", "/opt/x/run": "",
		"/opt/x/bin/run": "/opt/x/lib /opt/x/lib64 /opt/x/libexec /opt/x/pyvenv.cfg", "/srv/a/node_modules/.bin/x": "/srv/a/node_modules", "/a/node_modules/b/node_modules/c/x": "/a/node_modules"} {
		var got []string
		for _, r := range librariesOf(program) {
			got = append(got, r.path)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", program, got, want)
		}
	}
}
