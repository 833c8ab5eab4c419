package sandbox_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNeighbourCannotLookIntoTheStage: a process of the stage's own uid, while
// the stage waits.
func TestNeighbourCannotLookIntoTheStage(t *testing.T) {
	h := newHost(t)
	s := h.startElsewhere(t, order{Spec: command("/bin/true")}, h.seal(t, map[string]string{"TOKEN": "value"}))
	if s.Error != "" {
		t.Fatal(s.Error)
	}
	// A program that its user may read is open until it closes itself, which
	// the stage does first of all. From then on its files in /proc are root's.
	poll(t, "the stage is not dumpable", func() bool {
		var st unix.Stat_t
		return unix.Stat(procPath(s.PID, "environ"), &st) == nil && st.Uid == 0
	})
	allFail(t, h.attack(t, s.PID, ordinaryUID))
}

// TestUnreadableStage: installed 0711, the stage is closed to its own user from
// its first instruction, and works.
func TestUnreadableStage(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	stage := filepath.Join(h.dir, "stage")
	if out, err := exec.Command("cp", h.stage, stage).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(stage, 0o711); err != nil {
		t.Fatal(err)
	}
	h.stage = stage
	bundle := h.seal(t, map[string]string{"TOKEN": "value"})
	s := h.startElsewhere(t, order{Spec: command("/bin/true")}, bundle)
	allFail(t, h.attack(t, s.PID, ordinaryUID))

	s = h.startElsewhere(t, order{Spec: command("/bin/cat", "/proc/self/environ"), Release: true}, bundle)
	if s.Error != "" {
		t.Fatal(s.Error)
	}
	if got, err := s.out.ReadString('v'); !strings.HasSuffix(got, "TOKEN=v") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAttacksWork: the same attempts succeed against a process that does not
// protect itself. Without this the tests beside it would prove nothing.
func TestAttacksWork(t *testing.T) {
	if scope, err := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope"); err == nil && strings.TrimSpace(string(scope)) != "0" {
		skip(t, "Yama forbids what this test wants to see succeed")
	}
	h := newHost(t)
	argv := publicSelf(t, h, roleAttacker) // readable, so that it stays dumpable
	victim := exec.Command("/bin/sleep", "1000")
	victim.SysProcAttr, victim.Dir = asUser(ordinaryUID), "/"
	if err := victim.Start(); err != nil {
		t.Fatal(err, argv)
	}
	defer func() {
		_ = victim.Process.Kill()
		_ = victim.Wait()
	}()
	for what, failed := range h.attack(t, victim.Process.Pid, ordinaryUID) {
		if failed != "" && what != "open fd/3" && what != "open syscall" {
			t.Errorf("%s: %s", what, failed)
		}
	}
}

func allFail(t *testing.T, results map[string]string) {
	t.Helper()
	if len(results) != 13 {
		t.Errorf("%d attempts", len(results))
	}
	for what, failed := range results {
		switch {
		case failed == "":
			t.Errorf("%s succeeded", what)
		case !strings.HasSuffix(failed, "permission denied") && !strings.HasSuffix(failed, "operation not permitted"):
			t.Errorf("%s failed for another reason: %s", what, failed)
		}
	}
}

// TestCrashLeavesNoCore starts an agent that dumps core, if anything lets it,
// into its own directory.
func TestCrashLeavesNoCore(t *testing.T) {
	const crash = "ulimit -c unlimited 2>/dev/null; kill -ABRT $$"
	control := exec.Command("/bin/sh", "-c", crash)
	control.Dir = t.TempDir()
	if _ = control.Run(); len(contents(t, control.Dir)) == 0 {
		t.Log("this machine writes no core files into directories: little is proven")
	}
	h := newHost(t)
	spec := command("/bin/sh", "-c", crash)
	spec.Dir = t.TempDir()
	_, exit := h.run(t, spec, h.seal(t, map[string]string{"TOKEN": "value"}), unconfined())
	if exit.Signal != unix.SIGABRT {
		t.Fatalf("%v", exit)
	}
	if left := contents(t, spec.Dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func contents(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
