package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// A system call of another architecture kills its process: the filter knows the
// numbers of this one.
func TestForeignCall(t *testing.T) {
	h := newHost(t)
	attacker := h.buildAttacker(t)
	if err := exec.Command(attacker, "foreign").Run(); err != nil {
		t.Skipf("this kernel takes no system calls of i386: %v", err)
	}
	h.attacks(t, attacker, nil, []try{{"foreign-call", "", stopped}})
}

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
	_, _ = listen(t, "unix", h.path("bus")) // as D-Bus is: open to all, it trusts uids
	must(t, os.Chmod(h.path("bus"), 0o666))
	listenDgram(t, h.path("dgram"))
	must(t, os.Mkdir(h.path("elsewhere"), 0o777)) // another agent's workspace
	keeper := strconv.Itoa(h.keeper())
	masker, stranger := strconv.Itoa(masker(t, h.keeper())), stopped
	if os.Geteuid() == 0 {
		stranger = denied // it is another user's
	}

	sockets := map[string]any{"unixSockets": true} // past seccomp, to what else holds
	strict := map[string]any{"profile": "strict"}
	strictPort := map[string]any{"profile": "strict", "connectTcp": []int{port}}
	otherPort := map[string]any{"connectTcp": []int{1}, "bindTcp": []int{1}}
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
			{"prlimit", victim, stopped},
			{"prlimit", strconv.Itoa(h.cmd.Process.Pid), stopped},
			{"kill", victim, stopped},
			{"kill", strconv.Itoa(h.cmd.Process.Pid), stopped},
			{"kill", keeper, stopped},
			{"kill", masker, stranger},
			{"read", "/proc/" + keeper + "/environ", denied},
			{"open-mem", keeper, denied},
			{"ptrace", keeper, denied},
			{"getfd", keeper, denied},
			{"open-mem", masker, denied},
			{"getfd", masker, denied},
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
			{"list", h.path("elsewhere"), stopped},
			{"write", h.path("elsewhere/x"), stopped},
			{"truncate", h.path("outside"), stopped},
			{"write", h.path("new"), stopped},
			{"symlink", h.path("token"), stopped},
			{"dial-unix", h.socket, stopped},
			{"dial-packet", h.path("state/keeper.sock"), stopped},
			{"dial-unix", h.path("bus"), stopped},
			{"dial-abstract", h.dir, stopped},
			{"pair-dgram", h.path("dgram"), stopped},
			{"unix-high-bits", "", stopped},
			{"user-namespace", "", stopped},
			{"keyring", "", stopped},
			{"io-uring", "", stopped},
			{"cwd", "", allowed}, {"home", "", allowed}, {"tmp", "", allowed},
			{"dial-tcp", tcp, allowed}, {"listen-tcp", "127.0.0.1:0", allowed}, {"udp", "", allowed}, {"socketpair", "", allowed},
			{"write", "/dev/null", allowed}, {"list", "/usr", allowed},
		}},
		{sockets, []try{{"dial-abstract", h.dir, stopped}, {"dial-unix", h.path("bus"), allowed}, {"pair-dgram", h.path("dgram"), allowed}}},
		{strict, []try{
			{"shm", "", stopped},
			{"dial-tcp", tcp, stopped}, {"listen-tcp", "127.0.0.1:0", stopped}, {"udp", "", stopped},
			{"cwd", "", stopped}, {"home", "", stopped}, {"tmp", "", allowed},
			{"pair-dgram", h.path("dgram"), stopped}, {"socketpair", "", allowed},
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
