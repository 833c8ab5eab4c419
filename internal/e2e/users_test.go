package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Agents with uids of their own are apart even without a sandbox: each of
// these works between agents of one uid, as TestHostileAgent shows.
func TestUIDsSeparate(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	h.ownUIDs()
	h.start()
	off := map[string]any{"profile": "off"}
	secret := h.plane.CreateSecret(h.company, "TOKEN", secretValue(1, 1))
	victim := h.puppet(t, "victim", agent{sandbox: off, env: map[string]any{"TOKEN": ref(secret, "latest")}})
	victim.works("home", "")
	victim.works("tmp", "")
	p := h.puppet(t, "free", agent{sandbox: off})
	pid, dirs := strconv.Itoa(victim.pid), h.path("state/agents/victim")
	run := strings.TrimSuffix(filepath.Base(victim.log), ".log")
	for _, try := range [][2]string{
		{"list", dirs + "/home"}, {"read", dirs + "/home/x"}, {"write", dirs + "/home/y"}, {"list", dirs + "/tmp"},
		{"list", dirs + "/tmp/" + run[24:]}, {"write", dirs + "/tmp/" + run[24:] + "/y"}, {"write", dirs + "/x"}, {"write", dirs + "/tmp/x"},
		{"read", "/proc/" + pid + "/environ"}, {"open-mem", pid}, {"ptrace", pid}, {"vm-readv", pid}, {"getfd", pid}, {"kill", pid},
		{"kill", strconv.Itoa(h.keeper())}, {"kill", strconv.Itoa(masker(t, h.keeper()))}, {"kill", strconv.Itoa(h.cmd.Process.Pid)},
		{"read", h.path("host.key")}, {"read", h.path("token")}, {"read", victim.log}, {"list", h.path("state/runs")}, {"read", h.path("state/uids.json")},
		{"dial-unix", h.socket}, {"dial-packet", h.path("state/keeper.sock")},
	} {
		p.denied(try[0], try[1])
	}
	must(t, os.Chmod(h.socket, 0o666)) // an operator's mistake
	p.denied("control", h.socket)
	p.denied("control-left", h.socket)
	h.stop()
}

// A setuid program gives no agent anything.
func TestSetuidGivesNothing(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	h.ownUIDs()
	h.start()
	program := h.path("setuid")
	if out, err := exec.Command("cp", h.buildAttacker(t), program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	must(t, syscall.Chmod(program, 0o4755))
	target := program + "," + h.path("host.key")
	if says := as(t, 54321, h.buildAttacker(t), "setuid", target); says != "done" {
		t.Errorf("%s: the attack itself does not work", says)
	}
	h.puppet(t, "free", agent{sandbox: map[string]any{"profile": "off"}}).denied("setuid", target)
	h.puppet(t, "confined", agent{sandbox: map[string]any{"exec": []string{program}}}).denied("setuid", target)
	h.stop()
}

// as runs an attack as a process of that uid that is no agent.
func as(t *testing.T, uid uint32, attacker string, args ...string) string {
	t.Helper()
	cmd := exec.Command(attacker, args...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	stdout, stderr, code := runCommand(t, cmd)
	if code != 0 {
		t.Fatalf("%v: exit %d, %s", args, code, stderr)
	}
	return strings.TrimSpace(stdout)
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("switching users needs root")
	}
}
