package plugins

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

func TestProcessPlugin(t *testing.T) {
	h := newHost(t)
	d, err := h.Describe(context.Background(), "process")
	if err != nil || d.Type != "process" || d.Version == "" || !strings.Contains(string(d.Schema), "additionalProperties") {
		t.Fatalf("Describe: %+v, %v", d, err)
	}
	plan, err := h.Plan(context.Background(), "process", adapter.PlanRequest{
		Config: []byte(`{"command":"node","args":["a b","$HOME"],"cwd":"/srv"}`),
		Env:    map[string]string{"A": "1", "NODE_OPTIONS": "--x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(plan.Argv, []string{"node", "a b", "$HOME"}) || plan.Dir != "/srv" || len(plan.Env) != 2 || plan.Stdin != nil {
		t.Errorf("plan: %+v", plan)
	}
	_, err = h.Plan(context.Background(), "process", adapter.PlanRequest{Config: []byte(`{"command":"","extra":1}`)})
	var e *Error
	if !errors.As(err, &e) || e.Kind != KindConfig || e.Field != "extra" || e.Hint == "" {
		t.Errorf("unknown field: %#v", err)
	}
	_, err = h.Plan(context.Background(), "process", adapter.PlanRequest{Config: []byte(`{"command":"true"}`)})
	if want := "adapter process: adapterConfig.cwd: is missing"; err == nil || err.Error() != want {
		t.Errorf("missing cwd: %v", err)
	}
}

func TestTestEnvironment(t *testing.T) {
	h := newHost(t)
	for _, c := range []struct{ plugin, config, want, problem string }{
		{"process", `{"command":"sh","cwd":"/none"}`, "[{info command found } {warn cwd there is no such directory make it, and let the agent's user enter it}]", ""},
		{"process", `{}`, "[{error command is missing name the program to run} {error cwd is missing give the absolute path of the agent's working directory}]", ""},
		{"obey", `{"do":"pid"}`, "[]", ""},
		{"obey", `{"do":"problems"}`, "[{error model is missing name one} {error  and so on }]", ""},
		{"obey", `{"do":"level"}`, "[]", "refused answer: checks[0].level: is not info, warn or error"},
		{"obey", `{"do":"panic"}`, "[]", "TestEnvironment: the adapter panicked"},
		{"obey", `{"do":"crash"}`, "[]", "the plugin ended (exit status 7) during TestEnvironment"},
		{"big", `{}`, "[]", ""}, // has none
	} {
		checks, err := h.TestEnvironment(context.Background(), c.plugin, adapter.EnvironmentRequest{Config: []byte(c.config)})
		if got := fmt.Sprint(checks); got != c.want || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
			t.Errorf("%s %s: %s %v, want %s %s", c.plugin, c.config, got, err, c.want, c.problem)
		}
	}
	checks, err := h.TestEnvironment(context.Background(), "obey", adapter.EnvironmentRequest{Config: []byte(`{"do":"many"}`)})
	if err != nil || len(checks) != maxChecks+1 || checks[0] != (adapter.Check{Level: "info", Field: "a b", Message: "said nothing", Hint: "[0m"}) || checks[maxChecks].Message != "950 more checks" {
		t.Errorf("%d checks, %+v, %v", len(checks), checks[0], err)
	}
}

func TestOneLongLivedProcess(t *testing.T) {
	h := newHost(t)
	if pids := h.PIDs(); len(pids) != 0 {
		t.Errorf("started before first use: %v", pids)
	}
	var wg sync.WaitGroup
	pids := make([]int, 100)
	for i := range pids {
		wg.Go(func() { pids[i] = pidOf(t, h, "pid") })
	}
	wg.Wait()
	if slices.Sort(pids); pids[0] != pids[99] || h.PIDs()["obey"] != pids[0] {
		t.Errorf("pids: %v, host says %v", slices.Compact(pids), h.PIDs())
	}
}

func TestTypes(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"good_1": 0o755, "Upper": 0o755, "data": 0o644, "a.b": 0o755} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, func(o *Options) { o.Dir = dir })
	if types, err := h.Types(); err != nil || !slices.Equal(types, []string{"good_1"}) {
		t.Errorf("types: %v %v", types, err)
	}
	for _, name := range []string{"missing", "Upper", "data", "../good_1", "", ".", "dir", strings.Repeat("a", 65)} {
		var e *Error
		if _, err := h.Describe(context.Background(), name); !errors.As(err, &e) || e.Kind != KindUnknown {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestOpenComesFirst(t *testing.T) {
	var asked []string
	h := newHost(t, func(o *Options) {
		o.Open = func(path string) (*os.File, error) {
			asked = append(asked, path)
			return nil, errors.New("others can write it")
		}
	})
	_, err := h.Describe(context.Background(), "process")
	if err == nil || !strings.Contains(err.Error(), "others can write it") {
		t.Error(err)
	}
	if want := filepath.Join(h.opts.Dir, "process"); !slices.Equal(asked, []string{want}) {
		t.Errorf("asked for %v", asked)
	}
}

// TestNothingLeaksIn is about what a plugin finds in its process: nothing of
// the daemon's.
func TestNothingLeaksIn(t *testing.T) {
	t.Setenv("CANARY", "value")
	inherited, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	fd := dupWithoutCloexec(t, int(inherited.Fd()))
	defer closeFD(fd)

	h := newHost(t)
	plan, err := h.Plan(context.Background(), "obey", do("look"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range plan.Argv[1:] {
		name, _, _ := strings.Cut(v, "=")
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"AGENT_LAUNCHER_ADAPTER", "PLUGIN_CLIENT_CERT", "PLUGIN_MAX_PORT", "PLUGIN_MIN_PORT",
		"PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR", "TMPDIR"}
	if !slices.Equal(names, want) {
		t.Errorf("environment: %v", plan.Argv)
	}
	if plan.Dir != "/" || plan.Env["fd_0"] != os.DevNull {
		t.Errorf("cwd %s, stdin %s", plan.Dir, plan.Env["fd_0"])
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.PIDs()["obey"]))
	if err != nil || !strings.Contains(string(status), "NoNewPrivs:\t1") {
		t.Errorf("no_new_privs: %v\n%s", err, status)
	}
	for name, target := range plan.Env {
		if strings.HasPrefix(target, "/") && target != os.DevNull && !strings.HasPrefix(target, "/proc/") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			t.Errorf("%s is %s", name, target)
		}
	}
}

func TestWhatPluginsPrint(t *testing.T) {
	entries := make(chan Entry, 1000)
	h := newHost(t, func(o *Options) { o.Log = func(e Entry) { entries <- e } })
	pidOf(t, h, "print")
	want := map[string]string{"to stdout": "info", "to stderr": "info", "[WARN] to the log": "warn"}
	deadline := time.After(5 * time.Second)
	for len(want) > 0 {
		select {
		case e := <-entries:
			if want[e.Message] == e.Level && e.Plugin == "obey" {
				delete(want, e.Message)
			}
		case <-deadline:
			t.Fatalf("not seen: %v", want)
		}
	}
}

func TestNewHostRefuses(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 80))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	start := func(Program) (*Process, error) { return nil, errors.New("nothing starts") }
	for name, o := range map[string]Options{
		"no open":    {Dir: "/x", Start: start, RuntimeDir: "/"},
		"no dir":     {Open: trusted, Start: start, RuntimeDir: "/"},
		"no start":   {Dir: "/x", Open: trusted, RuntimeDir: "/"},
		"no runtime": {Dir: "/x", Open: trusted, Start: start},
		"missing":    {Dir: "/x", Open: trusted, Start: start, RuntimeDir: "/nonexistent"},
		"file":       {Dir: "/x", Open: trusted, Start: start, RuntimeDir: "/etc/passwd"},
		"long":       {Dir: "/x", Open: trusted, Start: start, RuntimeDir: long},
	} {
		if _, err := NewHost(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestClosedHost(t *testing.T) {
	h := newHost(t)
	h.Close()
	var e *Error
	if _, err := h.Plan(context.Background(), "obey", do("pid")); !errors.As(err, &e) || e.Kind != KindClosed {
		t.Error(err)
	}
}
