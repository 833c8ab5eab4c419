package e2e

import (
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// A hostile agent, one attack a row: it succeeds with profile off and fails
// with the policy of its group, workspace if that is nil. What an agent may do
// must go on working.
func TestHostileAgent(t *testing.T) {
	h := newHost(t)
	attacker := h.buildAttacker(t)
	secret := h.plane.CreateSecret(h.company, "TOKEN", secretValue(1, 1))
	h.addAgent("victim", agent{command: attacker, args: []string{"sleep", ""}, env: map[string]any{"TOKEN": ref(secret, "latest")}})
	h.start()
	h.eventually("the victim runs", func() bool { r := h.agentStatus("victim").Run; return r != nil && r.State == "running" })
	victim := strconv.Itoa(h.agentStatus("victim").Run.PID)
	must(t, os.WriteFile(h.path("outside"), []byte("x"), 0o600))
	must(t, os.WriteFile(h.path("extra"), []byte("x"), 0o600))
	tcp, port := listen(t, "tcp", "127.0.0.1:0")
	_, _ = listen(t, "unix", "@"+h.dir)

	unconfined := map[string]any{"profile": "off"}
	sockets := map[string]any{"unixSockets": true} // past seccomp, to what else holds
	strict := map[string]any{"profile": "strict"}
	strictPort := map[string]any{"profile": "strict", "connectTcp": []int{port}}
	otherPort := map[string]any{"connectTcp": []int{1}, "bindTcp": []int{1}}
	h.attacks(t, attacker, unconfined, []try{
		{"raise-core-limit", "", denied}, // limits are no matter of the profile
	})
	for _, c := range []struct {
		policy map[string]any
		tries  []try
	}{
		{nil, []try{
			{"read", "/proc/" + victim + "/environ", stopped},
			{"open-mem", victim, stopped},
			{"ptrace", victim, stopped},
			{"vm-readv", victim, stopped},
			{"getfd", victim, stopped},
			{"kill", victim, stopped},
			{"kill", strconv.Itoa(h.cmd.Process.Pid), stopped},
			{"read", h.path("host.key"), stopped},
			{"read", h.path("token"), stopped},
			{"read", h.config, stopped},
			{"list", h.path("adapters.d"), stopped},
			{"list", h.path("state/runs"), stopped},
			{"list", h.path("state/agents/victim/home"), stopped},
			{"write", h.path("state/agents/victim/home/x"), stopped},
			{"list", h.dir, stopped},
			{"list", "/", stopped},
			{"read", h.path("outside"), stopped},
			{"truncate", h.path("outside"), stopped},
			{"write", h.path("new"), stopped},
			{"symlink", h.path("token"), stopped},
			{"dial-unix", h.socket, stopped},
			{"dial-abstract", h.dir, stopped},
			{"unix-high-bits", "", stopped},
			{"user-namespace", "", stopped},
			{"keyring", "", stopped},
			{"io-uring", "", stopped},
			{"cwd", "", allowed}, {"home", "", allowed}, {"tmp", "", allowed},
			{"dial-tcp", tcp, allowed}, {"listen-tcp", "127.0.0.1:0", allowed}, {"udp", "", allowed}, {"socketpair", "", allowed},
			{"write", "/dev/null", allowed}, {"list", "/usr", allowed},
		}},
		{sockets, []try{{"dial-abstract", h.dir, stopped}}},
		{strict, []try{
			{"dial-tcp", tcp, stopped}, {"listen-tcp", "127.0.0.1:0", stopped}, {"udp", "", stopped},
			{"cwd", "", stopped}, {"home", "", stopped}, {"tmp", "", allowed},
			{"read", "/etc/passwd", allowed}, {"list", "/usr", allowed}, {"write", "/dev/null", allowed},
		}},
		{strictPort, []try{{"udp", "", stopped}, {"mptcp", "", stopped}, {"dial-tcp", tcp, allowed}}},
		{otherPort, []try{{"dial-tcp", tcp, stopped}, {"listen-tcp", "127.0.0.1:0", stopped}, {"mptcp", "", stopped}}},
		{map[string]any{"read": []string{h.path("extra")}}, []try{{"read", h.path("extra"), allowed}, {"write", h.path("extra"), stopped}}},
		{map[string]any{"write": []string{h.path("extra")}}, []try{{"write", h.path("extra"), allowed}}},
		{map[string]any{"userNamespaces": true}, []try{{"user-namespace", "", allowed}, {"keyring", "", stopped}}},
	} {
		t.Run(fmt.Sprint(c.policy), func(t *testing.T) { h.attacks(t, attacker, c.policy, c.tries) })
	}
	h.stop()
}

func (h *host) buildAttacker(t *testing.T) string {
	t.Helper()
	attacker := h.path("attacker")
	build := exec.Command("go", "build", "-o", attacker, "./testdata/attacker")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return attacker
}

// try is one attack. What is stopped by a policy must work without one, or the
// attack itself is broken.
type try struct {
	attack, target string
	want           string
}

const (
	stopped = "works without a sandbox, fails with it"
	allowed = "works with the sandbox"
	denied  = "never works"
)

func (h *host) attacks(t *testing.T, attacker string, policy map[string]any, tries []try) {
	t.Helper()
	var args []string
	for _, x := range tries {
		args = append(args, x.attack, x.target)
	}
	free := h.attack(t, attacker, args, map[string]any{"profile": "off"})
	confined := h.attack(t, attacker, args, policy)
	if len(free) != len(tries) || len(confined) != len(tries) {
		t.Fatalf("%d and %d answers to %d attacks", len(free), len(confined), len(tries))
	}
	for i, x := range tries {
		if free[i] != "done" && x.want == stopped {
			t.Errorf("%s %s without a sandbox: %s: the attack itself does not work", x.attack, x.target, free[i])
		}
		if done := confined[i] == "done"; done != (x.want == allowed) || !done && !denial(confined[i]) {
			t.Errorf("%s %s: %s; want %s", x.attack, x.target, confined[i], x.want)
		}
	}
}

// attack runs the attacker as an agent in the foreground.
func (h *host) attack(t *testing.T, attacker string, args []string, policy map[string]any) []string {
	t.Helper()
	record := map[string]any{"name": "attacker", "adapterType": "process", "hostId": h.id,
		"adapterConfig": map[string]any{"command": attacker, "args": args, "cwd": h.path("work")}}
	file := maps.Clone(record)
	delete(file, "hostId")
	file["id"], file["companyId"] = h.plane.CreateAgent(h.company, record), h.company
	file["runtimeConfig"] = map[string]any{"heartbeat": off} // the daemon leaves it alone
	if policy != nil {
		file["sandbox"] = policy
	}
	h.writeJSON("adapters.d/attacker.json", file)
	stdout, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, "attacker"))
	if code != 0 {
		t.Fatalf("the attacker did not run: exit %d, %s%s", code, stdout, stderr)
	}
	return strings.Split(strings.TrimSpace(stdout), "\n")
}

func denial(out string) bool {
	for _, text := range []string{"permission denied", "operation not permitted", "function not implemented", "protocol not supported"} {
		if strings.Contains(out, text) {
			return true
		}
	}
	return false
}

func listen(t *testing.T, network, addr string) (string, int) {
	t.Helper()
	l, err := net.Listen(network, addr)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	if tcp, ok := l.Addr().(*net.TCPAddr); ok {
		return l.Addr().String(), tcp.Port
	}
	return l.Addr().String(), 0
}
