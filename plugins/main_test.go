package plugins

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// hostEnv makes the test binary a daemon that another test kills.
const hostEnv = "PLUGINS_TEST_HOST"

func TestMain(m *testing.M) {
	if dir := os.Getenv(hostEnv); dir != "" {
		hostMain(dir)
		return
	}
	code := m.Run()
	shared.end()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	testbin.Cleanup()
	os.Exit(code)
}

// built is per process by its nature: linking takes seconds.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// hostiles are the names under which testdata/hostile is started.
var hostiles = []string{"obey", "garbage", "flood", "exit", "silent", "tcp", "elsewhere", "big", "mute", "deaf", "streams"}

func build() {
	if built.dir, built.err = os.MkdirTemp("", "plugins-"); built.err != nil {
		return
	}
	if built.err = os.Chmod(built.dir, 0o755); built.err != nil { // scripts are read as another user
		return
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", built.dir+"/", "./process", "./testdata/hostile")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		built.err = fmt.Errorf("%v: %s", err, out)
		return
	}
	built.err = os.WriteFile(filepath.Join(built.dir, "text"), []byte("no program\n"), 0o755)
	for _, name := range hostiles {
		if err := os.Link(filepath.Join(built.dir, "hostile"), filepath.Join(built.dir, name)); err != nil {
			built.err = err
		}
	}
}

// pluginsDir has process and every hostile plugin.
func pluginsDir(t testing.TB) string {
	t.Helper()
	built.once.Do(build)
	if built.err != nil {
		t.Fatalf("cannot build plugins: %v", built.err)
	}
	return built.dir
}

func trusted(path string) (*os.File, error) { return os.Open(path) }

// newHost returns a host that is closed with the test, and checks that nothing
// is left then: no process, no goroutine, no file.
func newHost(t testing.TB, change ...func(*Options)) *Host {
	t.Helper()
	start := starterOf(t, sharedKeeper(t), openDir(t))
	ignore := goleak.IgnoreCurrent()
	opts := Options{Dir: pluginsDir(t), Open: trusted, Start: start, RuntimeDir: openDir(t), Log: func(Entry) {}}
	for _, c := range change {
		c(&opts)
	}
	h, err := NewHost(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pids := h.PIDs()
		began := time.Now()
		h.Close()
		if took := time.Since(began); took > closeGrace+time.Second {
			t.Errorf("Close took %v", took)
		}
		for name, pid := range pids {
			if syscall.Kill(pid, 0) != syscall.ESRCH {
				t.Errorf("%s (%d) outlived Close", name, pid)
			}
		}
		if left, err := os.ReadDir(opts.RuntimeDir); err != nil || len(left) != 0 {
			t.Errorf("left in the runtime directory: %v %v", left, err)
		}
		goleak.VerifyNone(t, ignore)
	})
	return h
}

// do makes the request that obey carries out.
func do(what string) adapter.PlanRequest {
	return adapter.PlanRequest{Config: json.RawMessage(`{"do":"` + what + `"}`)}
}

// pidOf returns the process id that obey answers with.
func pidOf(t testing.TB, h *Host, what string) int {
	t.Helper()
	plan, err := h.Plan(context.Background(), "obey", do(what))
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	pid, err := strconv.Atoi(plan.Argv[0])
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// eventually waits for a condition that another process brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 5 s: %s", what)
		}
	}
}

// gone reports whether a process that is not our child has ended.
func gone(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	var comm, state string
	_, err = fmt.Sscanf(string(data), "%d %s %s", new(int), &comm, &state)
	return err != nil || state == "Z"
}
