// Package imports tests who may import whom: docs/architecture.md says why.
// It has no code of its own.
package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/agent-launcher/agent-launcher/"

// What reaches the network, starts programs, writes logs or is much code for
// little: a process that holds plaintext or stands between others must do
// without.
var outside = []string{"net", "net/...", "os/exec", "log/...", "encoding/json/...", "text/template/...", "google.golang.org/grpc/...", "go.uber.org/zap/...", "github.com/veraison/go-cose/..."}

// A pattern is an import path, or one and everything below it (/...). With ./
// it is of this module.
var never = []struct {
	why  string
	from []string // these, test files aside, ...
	to   []string // ... depend on none of these, however indirectly
}{
	{"only the launcher knows all three", []string{"./fetch/..."}, []string{"./sandbox/...", "./plugins/...", "./launcher/...", "./controlplane/..."}},
	{"only the launcher knows all three", []string{"./sandbox/..."}, []string{"./fetch/...", "./plugins/...", "./launcher/...", "./controlplane/..."}},
	{"only the launcher knows all three", []string{"./plugins/..."}, []string{"./fetch/...", "./sandbox/...", "./launcher/...", "./controlplane/..."}},
	{"whoever opens bundles holds plaintext", []string{"./cmd/agent-launcher", "./launcher/...", "./fetch/...", "./plugins/...", "./sandbox"}, []string{"./protocol/open", "./protocol/seal", "./sandbox/stage/..."}},
	{"the control plane is not part of a host", []string{"./cmd/agent-launcher", "./cmd/agent-launcher-stage", "./launcher/..."}, []string{"./controlplane/..."}},
	{"a host is not part of the control plane", []string{"./cmd/control-plane", "./controlplane", "./controlplane/keys", "./controlplane/store"},
		[]string{"./launcher/...", "./fetch/...", "./sandbox/...", "./plugins/...", "./protocol/open"}},
	{"third parties import the SDK without the daemon", []string{"./plugins/adapter/..."},
		[]string{"./protocol/...", "./internal/...", "go.uber.org/zap/...", "github.com/spf13/cobra/...", "modernc.org/...", "github.com/fxamacker/cbor/...", "github.com/fsnotify/..."}},
	{"the stage is small", []string{"./cmd/agent-launcher-stage", "./sandbox/stage/...", "./sandbox/keeper", "./sandbox/masker", "./sandbox/wire", "./sandbox/tree", "./sandbox/cgroup"}, outside},
	{"keeper and masker open nothing", []string{"./sandbox/keeper", "./sandbox/masker"}, []string{"./protocol/open", "./protocol/seal", "./sandbox", "./sandbox/stage/..."}},
	{"opening needs no network and no signatures", []string{"./protocol/open"}, append([]string{"./protocol/seal", "./protocol/sign"}, outside...)},
	{"a message is not a connection", []string{"./protocol"}, outside},
	{"tests' tools stay in tests", []string{"./cmd/...", "./launcher/...", "./fetch/...", "./sandbox/...", "./plugins/...", "./protocol/...", "./controlplane"},
		append([]string{"pgregory.net/..."}, free...)},
	{"leaf packages take no logger", []string{"./fetch/...", "./sandbox/...", "./protocol/...", "./plugins/...", "./launcher/config", "./internal/trust", "./controlplane/keys", "./controlplane/store"},
		[]string{"go.uber.org/zap/..."}},
}

// free are packages for tests, which go everywhere. Nothing that is shipped
// depends on them.
var free = []string{"./internal/demo/...", "./internal/e2e/...", "./internal/memscan/...", "./internal/testbin", "./controlplane/controlplanetest"}

// Who may depend on a package that few may, test files aside.
var only = []struct {
	to  string
	who []string
}{
	{"./protocol/open", []string{"./sandbox/stage/...", "./cmd/agent-launcher-stage"}},
	{"./protocol/seal", []string{"./controlplane/...", "./cmd/control-plane"}},
	{"./protocol/sign", []string{"./controlplane/...", "./cmd/control-plane", "./fetch/...", "./launcher/...", "./cmd/agent-launcher"}},
	{"./sandbox/stage/forms", []string{"./sandbox/stage", "./cmd/agent-launcher-stage"}},
	{"./sandbox/stage", []string{"./sandbox/stage/...", "./cmd/agent-launcher-stage"}},
	{"./sandbox/masker", []string{"./sandbox/keeper/...", "./cmd/agent-launcher-stage"}},
	{"./fetch", []string{"./launcher/...", "./cmd/agent-launcher"}},
	{"./plugins", []string{"./launcher/...", "./cmd/agent-launcher"}},
	{"./sandbox", []string{"./launcher/...", "./cmd/agent-launcher"}},
}

// shared is all of this module that daemon and control plane have in common.
var shared = []string{"internal/harden", "protocol", "protocol/sign"}

func TestNever(t *testing.T) {
	all := load(t)
	for _, r := range never {
		for _, to := range r.to {
			if strings.HasPrefix(to, "./") {
				all.matching(t, to) // a rule about nothing is a mistake
			}
		}
		for _, from := range r.from {
			for _, p := range all.matching(t, from) {
				for _, dep := range p.Deps {
					if matchAny(r.to, dep) {
						t.Errorf("%s depends on %s, by way of %s: %s", p.ImportPath, dep, all.way(p, dep), r.why)
					}
				}
			}
		}
	}
}

func TestOnly(t *testing.T) {
	all := load(t)
	for _, r := range only {
		all.matching(t, r.to)
		for _, p := range all {
			ours := match("./...", p.ImportPath) && !matchAny(free, p.ImportPath)
			for _, dep := range p.Deps {
				if ours && match(r.to, dep) && !matchAny(r.who, p.ImportPath) {
					t.Errorf("%s depends on %s, by way of %s: only %v may", p.ImportPath, dep, all.way(p, dep), r.who)
				}
			}
		}
	}
}

func TestShared(t *testing.T) {
	all := load(t)
	daemon, server := all.matching(t, "./cmd/agent-launcher")[0], all.matching(t, "./cmd/control-plane")[0]
	var both []string
	for _, dep := range daemon.Deps {
		if name, ours := strings.CutPrefix(dep, module); ours && slices.Contains(server.Deps, dep) {
			both = append(both, name)
		}
	}
	slices.Sort(both)
	if !slices.Equal(both, shared) {
		t.Errorf("daemon and control plane share %v, want %v", both, shared)
	}
}

// Only the launcher imports fetch, sandbox and plugins together.
func TestOneKnowsAll(t *testing.T) {
	for path, p := range load(t) {
		n := 0
		for _, three := range []string{"fetch", "sandbox", "plugins"} {
			if slices.Contains(p.Imports, module+three) {
				n++
			}
		}
		if n > 1 && path != module+"launcher" {
			t.Errorf("%s imports %d of fetch, sandbox and plugins", path, n)
		}
	}
}

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string // transitive
}

type packages map[string]*pkg

// load asks the go command about this module, test files aside.
func load(t *testing.T) packages {
	t.Helper()
	var errs bytes.Buffer
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps", "./...")
	cmd.Dir, cmd.Stderr = "../..", &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot list packages: %v\n%s", err, errs.String())
	}
	all := packages{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = &p
	}
}

// matching returns the packages that a pattern names: at least one.
func (all packages) matching(t *testing.T, pattern string) []*pkg {
	t.Helper()
	var out []*pkg
	for path, p := range all {
		if match(pattern, path) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no package matches %s", pattern)
	}
	return out
}

// way returns the direct import of p which leads to dep.
func (all packages) way(p *pkg, dep string) string {
	for _, i := range p.Imports {
		if i == dep || all[i] != nil && slices.Contains(all[i].Deps, dep) {
			return i
		}
	}
	return "?"
}

func matchAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, path) })
}

func match(pattern, path string) bool {
	if name, ours := strings.CutPrefix(pattern, "./"); ours {
		pattern = module + name
	}
	base, below := strings.CutSuffix(pattern, "/...")
	return path == base || below && strings.HasPrefix(path, base+"/")
}
