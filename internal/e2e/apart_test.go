package e2e

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const daemonUID = 54321

// apart gives the host a keeper of root's, as its unit starts it, and a daemon
// that is an ordinary user.
func (h *host) apart(t *testing.T) (socket string, keeper int) {
	t.Helper()
	for _, dir := range []string{"keeper", "state", "run"} {
		must(t, os.Mkdir(h.path(dir), 0o711))
		must(t, os.Chmod(h.path(dir), 0o711))
	}
	for _, name := range []string{"state", "run", "token"} {
		must(t, os.Chown(h.path(name), daemonUID, daemonUID))
	}
	socket, h.socket = h.path("keeper/keeper.sock"), h.path("run/control.sock")
	h.set("keeperSocket", socket)
	h.set("socket", h.socket)
	h.set("hostKeyFile", nil)
	h.ownUIDs()
	cmd := exec.Command(h.bin.Stage, "keeper", "--socket", socket, "--host-key", h.path("host.key"),
		"--daemon-user", strconv.Itoa(daemonUID), "--uid-range", "61184-61300")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { // as its unit is stopped
		_ = cmd.Process.Signal(syscall.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil || !late.Stop() {
			t.Errorf("the keeper ended with %v", err)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the keeper says %q, %v", line, err)
	}
	h.with = func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: daemonUID, Gid: daemonUID}}
		cmd.Dir = "/"
	}
	return socket, cmd.Process.Pid
}

// Who took the daemon's uid over has neither the host key nor a value, and the
// keeper starts nobody for it but agents.
func TestDaemonIsApart(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	socket, keeper := h.apart(t)
	h.start()
	attacker := h.buildAttacker(t)
	secret := h.plane.CreateSecret(h.company, "TOKEN", secretValue(1, 1))
	env := map[string]any{"TOKEN": ref(secret, "latest")}
	one, two := h.puppet(t, "one", agent{env: env}), h.puppet(t, "two", agent{env: env})
	for _, p := range []*puppet{one, two} {
		p.works("home", "")
		p.works("tmp", "")
	}
	if a, b := owner(t, one.pid), owner(t, two.pid); a == b || a < 61184 || b < 61184 || a >= 61300 || b >= 61300 {
		t.Errorf("the agents run as uids %d and %d", a, b)
	}
	denied := func(attack, target string) {
		t.Helper()
		if says := as(t, daemonUID, attacker, attack, target); !denial(says) {
			t.Errorf("the daemon's uid: %s %s: %s", attack, target, says)
		}
	}
	denied("read", h.path("host.key"))
	denied("list", h.path("state/agents/one/home"))
	for _, pid := range []int{keeper, masker(t, keeper), one.pid} {
		target := strconv.Itoa(pid)
		for _, attack := range []string{"open-mem", "ptrace", "getfd", "kill"} {
			denied(attack, target)
		}
		denied("read", "/proc/"+target+"/environ")
	}
	h.kill()
	must(t, os.Mkdir(h.path("base"), 0o755))
	for _, user := range []string{
		"keeper", "0:0", "65534:65534", "61183:61183", strconv.Itoa(daemonUID) + ":" + strconv.Itoa(daemonUID), // nobody's of the range
		"61300:61300", // the masker's
		"61184:0", "61184:61185", "61184:61184:0", "61184:61184:61184",
	} {
		denied("order", socket+","+user+",")
	}
	denied("order", socket+",61184:61184,"+h.path("base")) // another's directory
	if _, err := os.Stat(h.path("base/home")); err == nil {
		t.Error("the keeper made a directory where the daemon may not")
	}
	denied("look-at-stage", socket+",61200:61200,")
	if says := as(t, daemonUID, attacker, "order", socket+",61200:61200,"); says != "done" {
		t.Errorf("%s: the attack itself does not work", says)
	}
	if says := as(t, daemonUID+1, attacker, "order", socket+",61200:61200,"); !denial(says) {
		t.Errorf("a stranger: %s", says)
	}
	one.works("cwd", "")
	h.start()
	h.stop()
	h.eventually("SIGTERM to the daemon ends the agents", func() bool { return !lives(one.pid) && !lives(two.pid) })
	if !lives(keeper) {
		t.Error("it ended a keeper that it did not start")
	}
}

// owner is the uid of a process.
func owner(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	must(t, err)
	_, rest, _ := strings.Cut(string(data), "\nUid:\t")
	uid, _ := strconv.Atoi(strings.Fields(rest)[0])
	return uid
}
