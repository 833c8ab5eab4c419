package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain also makes the test binary a keeper: "keeper DIR UID AGENT" joins the
// cgroup at DIR and becomes UID (empty: neither), opens a root, starts
// the shell script AGENT in a group of its own and says where. It kills the
// agent and closes the root when its standard input ends.
func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == "keeper" {
		if err := beKeeper(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Println(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const ordinaryUID = 54321

func beKeeper(dir, user, agent string) error {
	if dir != "" {
		if err := write(dir, "cgroup.procs", "0"); err != nil {
			return err
		}
	}
	if uid, err := strconv.Atoi(user); err == nil {
		if err := syscall.Setresuid(uid, uid, uid); err != nil {
			return err
		}
	}
	r, err := Open()
	if err != nil {
		return err
	}
	g, err := r.Make("agent", Limits{})
	if err != nil {
		return err
	}
	pid, err := startAgent(g, agent)
	if err != nil {
		return err
	}
	fmt.Println(r.Path(), pid)
	_, _ = io.ReadAll(os.Stdin)
	err = errors.Join(g.Kill(), waitEmpty(g.dir, time.Now().Add(10*time.Second)))
	return errors.Join(err, g.Remove(), r.Close())
}

// startAgent starts a shell that joins the group before it does anything else.
func startAgent(g *Group, script string) (pid int, err error) {
	cmd := exec.Command("sh", "-c", "echo 0 >&3 || exit; exec 3>&-; echo up\n"+script)
	cmd.ExtraFiles = []*os.File{g.Procs()}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		return 0, fmt.Errorf("the agent did not join: %q, %v", line, err)
	}
	return cmd.Process.Pid, nil
}

type keeper struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

func startKeeper(t *testing.T, dir, user, agent string) *keeper {
	t.Helper()
	cmd := exec.Command(os.Args[0], "keeper", dir, user, agent)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return &keeper{cmd, stdin, bufio.NewReader(out)}
}

// opened returns the path that the keeper says and the pid of its agent.
func (k *keeper) opened(t *testing.T) (path string, agent int) {
	t.Helper()
	line, err := k.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := fmt.Sscan(line, &path, &agent); err != nil {
		t.Fatalf("the keeper says: %s", line)
	}
	return path, agent
}

// close ends it and returns what it says at the end.
func (k *keeper) close(t *testing.T) string {
	t.Helper()
	_ = k.stdin.Close()
	rest, err := io.ReadAll(k.out)
	if err != nil {
		t.Fatal(err)
	}
	_ = k.cmd.Wait()
	return strings.TrimSpace(string(rest))
}

// hierarchy is the mount point of cgroup v2, for tests that need root there.
func hierarchy(t *testing.T) string {
	t.Helper()
	why := ""
	p, err := here()
	switch {
	case os.Geteuid() != 0:
		why = "needs root, to make cgroups"
	case err != nil:
		why = err.Error()
	case unix.Access(p.mount, unix.W_OK) != nil:
		why = "cannot write to " + p.mount
	default:
		return p.mount
	}
	if os.Getenv("REQUIRE_SANDBOX") == "1" && os.Geteuid() == 0 {
		t.Fatalf("REQUIRE_SANDBOX=1, but %s", why)
	}
	t.Skip(why)
	return ""
}
