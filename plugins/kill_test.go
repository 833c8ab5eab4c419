package plugins

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// hostMain is a daemon: it starts two plugins, one of which hangs, says so,
// and waits to be killed.
func hostMain(dir string) {
	h, err := NewHost(Options{Dir: dir, Open: trusted})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, name := range []string{"process", "obey"} {
		if _, err := h.Describe(context.Background(), name); err != nil {
			fmt.Println(err)
			return
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(h.PIDs())
	_, err = h.Plan(context.Background(), "obey", do("hang"))
	fmt.Println(err)
}

func TestKillOfTheDaemonEndsThePlugins(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), hostEnv+"="+pluginsDir(t), "TMPDIR="+t.TempDir())
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
	if err != nil || json.Unmarshal([]byte(line), &pids) != nil || len(pids) != 2 {
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

// TestPluginOutlivesThreads ends many threads of the daemon: none may be the
// one whose end the kernel takes for the daemon's.
func TestPluginOutlivesThreads(t *testing.T) {
	h := newHost(t)
	var pid int
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread() // ends with the goroutine
		defer close(started)
		pid = pidOf(t, h, "pid")
	}()
	<-started
	for range 50 {
		done := make(chan struct{})
		go func() { runtime.LockOSThread(); close(done) }()
		<-done
	}
	if again := pidOf(t, h, "pid"); again != pid {
		t.Errorf("the plugin died with a thread: %d, then %d", pid, again)
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
