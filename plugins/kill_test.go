package plugins

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// hostMain is a daemon: it starts two plugins, one of which hangs, says so,
// and waits to be killed. Its keeper is another's.
func hostMain(dir string) {
	k, err := sandbox.Dial(os.Getenv(keeperEnv))
	if err != nil {
		fmt.Println(err)
		return
	}
	runtime := os.Getenv("TMPDIR")
	h, err := NewHost(Options{Dir: dir, Open: trusted, RuntimeDir: runtime, Start: func(p Program) (*Process, error) {
		return startWith(k, runtime, p)
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	child := 0
	for _, name := range []string{"process", "obey"} {
		if _, err := h.Describe(context.Background(), name); err != nil {
			fmt.Println(err)
			return
		}
	}
	pids := h.PIDs()
	for _, how := range []string{"fork", "escape"} {
		plan, err := h.Plan(context.Background(), "obey", do(how))
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = fmt.Sscan(plan.Argv[0], &child)
		pids[how] = child
	}
	_ = json.NewEncoder(os.Stdout).Encode(pids)
	_, err = h.Plan(context.Background(), "obey", do("hang"))
	fmt.Println(err)
}

// TestKillOfTheDaemonEndsThePlugins: the keeper lives, and what the plugins
// started to outlive them does not.
func TestKillOfTheDaemonEndsThePlugins(t *testing.T) {
	dir := openDir(t)
	socket := filepath.Join(dir, "keeper.sock")
	stage, key := testbin.Build(t).Stage, filepath.Join(dir, "host.key")
	command(t, stage, "keygen", "--out", key)
	keeper := exec.Command(stage, "keeper", "--socket", socket, "--host-key", key)
	keeper.Stderr = os.Stderr
	serves, err := keeper.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = keeper.Process.Signal(syscall.SIGTERM); _ = keeper.Wait() })
	if line, err := bufio.NewReader(serves).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the keeper says %q, %v", line, err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hostEnv+"="+pluginsDir(t), keeperEnv+"="+socket, "TMPDIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	var pids map[string]int
	if err != nil || json.Unmarshal([]byte(line), &pids) != nil || len(pids) != 4 {
		t.Fatalf("host said %q, %v", line, err)
	}
	for name, pid := range pids {
		if gone(pid) {
			t.Errorf("%s is gone before the kill", name)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for name, pid := range pids {
		eventually(t, name+" is gone", func() bool { return gone(pid) })
	}
}

func stopped(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && strings.Contains(string(data), "State:\tT")
}

func dupWithoutCloexec(t *testing.T, fd int) int {
	t.Helper()
	dup, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	return dup
}

func closeFD(fd int) { _ = unix.Close(fd) }
