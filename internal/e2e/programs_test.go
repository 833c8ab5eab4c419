package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program is a script of testdata/programs that an agent runs.
type program struct {
	script string
	needs  []string // programs; the first one runs the script
	want   []string // lines, in this order
	bare   bool     // CI's bare machine has all that it needs
	slow   bool     // takes seconds: with one identity only
}

func programs() []program {
	return []program{
		{script: "bash.sh", needs: []string{"bash", "getent"}, bare: true,
			want: []string{"pipe 19", "here 42", "> c", "job 3", "through a fifo", "mktemp in TMPDIR", "coprocess", "done in bash-sh"}},
		{script: "python.py", needs: []string{"python3"},
			want: []string{"subprocess 42", "shell 2", "tempfile True", "sqlite row", "ssl CERT_REQUIRED", "thread done", "multiprocessing hello", "terminal True"}},
		{script: "node.cjs", needs: []string{"node"}, bare: true,
			want: []string{"fork 42", "exec shell 2", "worker hello", "fs content true", "tcp on loopback", "wasm 42", "os true true true true"}},
		{script: "git.sh", needs: []string{"sh", "git"}, bare: true, want: []string{"Agent: First commit", "1 file changed", "content"}},
		{script: "go.sh", needs: []string{"sh", "go"}, bare: true, slow: true, want: []string{"built 42", "cache in HOME"}},
		{script: "npm.sh", needs: []string{"sh", "npm", "node", "npx"}, bare: true, slow: true, want: []string{"from a folder from a tarball", "from its command", "dependency"}},
	}
}

// Programs that people run as agents work with the default profile, whoever
// they run as.
func TestRealPrograms(t *testing.T) {
	all := identities()
	for _, as := range all {
		t.Run(as.name, func(t *testing.T) {
			h := newHost(t)
			if as.uidRange != nil {
				h.configure(map[string]any{"uidRange": as.uidRange})
			}
			for _, p := range programs() {
				if p.slow && as.name != all[len(all)-1].name {
					continue
				}
				t.Run(p.script, func(t *testing.T) { h.runProgram(t, p, as.user) })
			}
		})
	}
}

// who is whom agents run as.
type who struct {
	name     string
	user     string
	uidRange []int
}

func identities() []who {
	all := []who{{name: "the launcher's own uid"}}
	if os.Geteuid() == 0 {
		all = append(all, who{name: "a user", user: "nobody"}, who{name: "a uid of uidRange", uidRange: []int{61184, 65519}})
	}
	return all
}

func (h *host) runProgram(t *testing.T, p program, user string) {
	dirs, policy := find(t, p.needs, p.bare)
	name := strings.ReplaceAll(p.script, ".", "-")
	work := h.path(name)
	must(t, os.Mkdir(work, 0o755))
	must(t, os.Chmod(work, 0o777)) // some agents run as other users
	script, err := os.ReadFile(filepath.Join("testdata/programs", p.script))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(work, p.script), script, 0o644))
	out, code := h.exec(t, name, map[string]any{
		"command": p.needs[0], "args": []string{p.script}, "cwd": work, "env": map[string]any{"PATH": path(dirs)},
	}, user, policy)
	if lines := strings.Split(strings.ReplaceAll(out, "\r", ""), "\n"); code != 0 || !inOrder(lines, p.want) {
		t.Errorf("exit %d\n%s\nwant %q", code, out, p.want)
	}
}

// find looks for programs where every agent does, and then on the test's own
// PATH: what lies there, and not in /usr, is opened to the agent whole, as an
// operator would do it.
func find(t *testing.T, names []string, bare bool) (dirs []string, policy map[string]any) {
	t.Helper()
	var open []string
	for _, name := range names {
		if slices.ContainsFunc(usualDirs, func(dir string) bool { _, err := exec.LookPath(filepath.Join(dir, name)); return err == nil }) {
			continue
		}
		found, err := exec.LookPath(name)
		if err == nil {
			found, err = filepath.EvalSymlinks(found)
		}
		switch {
		case err == nil:
			dirs = append(dirs, filepath.Dir(found))
			open = append(open, filepath.Dir(filepath.Dir(found)))
		case bare && os.Getenv("REQUIRE_SANDBOX") == "1":
			t.Fatalf("REQUIRE_SANDBOX=1, but %s is not on this machine", name)
		default:
			t.Skipf("%s is not on this machine", name)
		}
	}
	if open == nil {
		return nil, nil
	}
	return dirs, map[string]any{"exec": open}
}

// usualDirs are the PATH that every agent starts with.
var usualDirs = []string{"/usr/local/bin", "/usr/bin", "/bin"}

func path(dirs []string) string { return strings.Join(slices.Concat(dirs, usualDirs), ":") }

// exec runs one heartbeat of a new agent in the foreground.
func (h *host) exec(t *testing.T, name string, config map[string]any, user string, policy map[string]any) (out string, code int) {
	t.Helper()
	record := map[string]any{"name": name, "adapterType": "process", "adapterConfig": config, "hostId": h.id}
	file := maps.Clone(record)
	delete(file, "hostId")
	file["id"], file["companyId"] = h.plane.CreateAgent(h.company, record), h.company
	if user != "" {
		file["user"] = user
	}
	if policy != nil {
		file["sandbox"] = policy
	}
	h.writeJSON("adapters.d/"+name+".json", file)
	stdout, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, name))
	return stdout + stderr, code
}

func inOrder(lines, want []string) bool {
	for _, line := range lines {
		if len(want) > 0 && strings.HasPrefix(strings.TrimSpace(line), want[0]) {
			want = want[1:]
		}
	}
	return len(want) == 0
}
