package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// exec passes the agent's exit code, and says with its own why none ran.
func TestExecExitCodes(t *testing.T) {
	h := newHost(t)
	secret := h.plane.CreateSecret(h.company, "TOKEN", "value-of-the-secret")
	noExec := h.path("no-exec")
	must(t, os.WriteFile(noExec, []byte("#!/bin/sh\n"), 0o644))
	script := h.path("script")
	must(t, os.WriteFile(script, []byte("#!/no/such/interpreter\n"), 0o755))
	shell := func(text string) agent { return agent{command: "sh", args: []string{"-c", text}} }
	for _, c := range []struct {
		name   string
		agent  agent
		code   int
		stdout string
		stderr string
	}{
		{"fine", agent{command: "sh", args: []string{"-c", `echo "$TOKEN"`}, env: map[string]any{"TOKEN": ref(secret, "latest")}}, 0, "[redacted:TOKEN]\n", ""},
		{"its own code", shell("exit 42"), 42, "", ""},
		{"signal", shell("kill -SEGV $$"), 128 + 11, "", ""},
		{"real-time signal", shell("kill -40 $$"), 128 + 40, "", ""},
		{"timeout, and then a good end", agent{command: "sh", args: []string{"-c", "exec 2>/dev/null; trap 'exit 0' TERM; while :; do sleep 0.1; done"}, timeout: 1}, 1, "", "timed out"},
		{"timeout", agent{command: "sleep", args: []string{"60"}, timeout: 1}, 128 + 15, "", "timed out"},
		{"not found", agent{command: "no-such-program"}, 127, "", "no-such-program: not found"},
		{"no interpreter", agent{command: script}, 127, "", "interpreter"},
		{"not executable", agent{command: noExec}, 126, "", "permission denied"},
		{"no such secret", agent{command: "true", env: map[string]any{"TOKEN": ref(secret, 9)}}, 125, "", "version_not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h.addAgent("a", c.agent)
			stdout, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, "a"))
			if code != c.code || stdout != c.stdout || !strings.Contains(stderr, c.stderr) {
				t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			if strings.Contains(stderr, "value-of-the-secret") {
				t.Error("a value in an error")
			}
		})
	}
	for id, r := range h.records() {
		if r.State != "ended" && r.State != "failed" {
			t.Errorf("run %s is %s", id, r.State)
		}
	}
}

// Exit codes and messages of commands that are used wrongly.
func TestUsage(t *testing.T) {
	h := newHost(t)
	bad := h.path("bad.json")
	must(t, os.WriteFile(bad, []byte("{\n  \"x\": 1\n}"), 0o600))
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{nil, 2, ""},
		{[]string{"frobnicate"}, 2, "frobnicate"},
		{[]string{"status", "--jsn"}, 2, "--jsn"},
		{[]string{"wake"}, 2, "usage: agent-launcher wake AGENT"},
		{[]string{"schema", "x"}, 2, "x"},
		{[]string{"keygen"}, 2, "--out"},
		{[]string{"keygen", "--out", h.path("host.key")}, 1, "exists"},
		{[]string{"run", "--config", bad}, 78, "bad.json:2:8: $.x: unknown key"},
		{[]string{"check", "--config", bad}, 78, "bad.json:2:8: $.x: unknown key"},
		{[]string{"exec", "--config", h.config, "nobody"}, 78, "nobody.json"},
		{[]string{"run", "--config", h.path("nothing.json")}, 78, "nothing.json"},
		{[]string{"status", "--socket", h.path("nothing.sock")}, 1, "hint: is it running?"},
	} {
		_, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, c.args...))
		if code != c.code || !strings.Contains(stderr, c.stderr) {
			t.Errorf("%v: exit %d, want %d; stderr %q", c.args, code, c.code, stderr)
		}
	}
}

// check names everything that is wrong, in files and on the host, at once.
func TestCheck(t *testing.T) {
	h := newHost(t)
	h.addAgent("good", agent{command: "true"})
	check := func() (string, string, int) {
		return runCommand(t, exec.Command(h.bin.Launcher, "check", "--config", h.config))
	}
	if stdout, stderr, code := check(); code != 0 || !strings.Contains(stdout, "ok: 1 agents") {
		t.Fatalf("exit %d, %q, %q", code, stdout, stderr)
	}
	h.addAgent("lacking", agent{command: "no-such-program"})
	stdout, stderr, code := check()
	for _, says := range []string{"good.json:1:", "$.adapterConfig.command: adapter process: found", "lacking.json:1:",
		"warning: $.adapterConfig.command: adapter process: there is no such program in the agent's PATH", "hint: install it"} {
		if code != 0 || !strings.Contains(stdout+stderr, says) {
			t.Errorf("exit %d, nothing of %q: %s%s", code, says, stdout, stderr)
		}
	}
	h.writeJSON("adapters.d/adapter.json", map[string]any{"id": "x1", "companyId": "c", "adapterType": "nonesuch", "adapterConfig": map[string]any{}})
	h.writeJSON("adapters.d/schema.json", map[string]any{"id": "x2", "companyId": "c", "adapterType": "process",
		"adapterConfig": map[string]any{"command": 1, "cwd": "/", "commnad": "x"}})
	h.writeJSON("adapters.d/user.json", map[string]any{"id": "x3", "companyId": "c", "adapterType": "process", "user": "no-such-user",
		"adapterConfig": map[string]any{"command": "true", "cwd": "/"}})
	must(t, os.Chmod(h.path("host.key"), 0o644))
	must(t, os.Remove(h.path("token")))
	_, stderr, code = check()
	for _, says := range []string{"nonesuch", "schema.json:1:", "$.adapterConfig.command", "commnad", "no-such-user", "host.key has mode 0644", "token"} {
		if !strings.Contains(stderr, says) {
			t.Errorf("nothing of %q", says)
		}
	}
	if code != 78 || t.Failed() {
		t.Errorf("exit %d, %s", code, stderr)
	}
}

// Nobody but root, the daemon's user and the socket's group gets an answer.
func TestControlSocketRefusesStrangers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("connecting as another user needs root")
	}
	h := newHost(t)
	h.start()
	info, err := os.Stat(h.socket)
	must(t, err)
	if info.Mode().Perm() != 0o660 {
		t.Errorf("mode %04o", info.Mode().Perm())
	}
	as := func(uid, gid uint32, groups ...uint32) (string, int) {
		cmd := exec.Command(h.bin.Launcher, "status", "--socket", h.socket)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
		_, stderr, code := runCommand(t, cmd)
		return stderr, code
	}
	if stderr, code := as(54321, 54321); code != 1 || !strings.Contains(stderr, "permission denied") {
		t.Errorf("a stranger: exit %d, %q", code, stderr)
	}
	must(t, os.Chmod(h.socket, 0o666)) // an operator's mistake
	if stderr, code := as(54321, 54321); code != 1 || !strings.Contains(stderr, "may not control") {
		t.Errorf("a stranger through an open socket: exit %d, %q", code, stderr)
	}
	if stderr, code := as(54321, 54321, 0); code != 0 {
		t.Errorf("a member of the socket's group: exit %d, %q", code, stderr)
	}
	h.stop()
}

// A user of its own: uid and groups, private directories, no capability.
func TestUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("switching users needs root")
	}
	nobody, err := user.Lookup("nobody")
	must(t, err)
	h := newHost(t)
	secret := h.plane.CreateSecret(h.company, "TOKEN", "value-of-the-secret")
	h.addAgent("a", agent{command: "sh", user: "nobody", heartbeat: off, env: map[string]any{"TOKEN": ref(secret, "latest")}, args: []string{"-c",
		`id -u; id -G; echo $HOME $USER; touch $HOME/x $TMPDIR/x && echo wrote; grep ^Cap /proc/self/status; cat ` + h.path("host.key") + ` ` + h.path("token")}})
	h.start()
	if w := h.wake("a"); w.Run == nil {
		t.Fatalf("%+v", w.Heartbeat)
	}
	out, _, _ := h.cli("logs", "a")
	for _, says := range []string{nobody.Uid + "\n", h.path("state/agents/a/home") + " nobody\n", "wrote\n", "CapEff:\t0000000000000000", "host.key: Permission denied", "token: Permission denied"} {
		if !strings.Contains(out, says) {
			t.Errorf("nothing of %q", says)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	h.stop()
}

// Environment and descriptors of an agent: what it was given and nothing else,
// whatever the daemon itself was started with.
func TestNothingInherited(t *testing.T) {
	t.Setenv("DAEMON_ONLY", "leaked")
	h := newHost(t)
	id := h.addAgent("a", agent{command: "sh", heartbeat: off, env: map[string]any{"MINE": "1"}, args: []string{"-c", "env; ls /proc/self/fd | wc -l"}})
	h.start()
	run := h.wake("a").Run
	out, _, _ := h.cli("logs", "a")
	got := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		name, value, _ := strings.Cut(line, "=")
		got[name] = value
	}
	want := map[string]string{
		"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": h.path("state/agents/a/home"), "TMPDIR": h.path("state/agents/a/tmp/" + run.RunID[24:]), "LANG": "C.UTF-8",
		"PAPERCLIP_AGENT_ID": id, "PAPERCLIP_COMPANY_ID": h.company, "PAPERCLIP_RUN_ID": run.RunID, "PAPERCLIP_API_URL": h.proxy.url,
		"MINE": "1", "PWD": h.path("work"), "4": "", // PWD is the shell's; 0, 1, 2 and what ls opens
	}
	for _, name := range []string{"USER", "LOGNAME"} {
		want[name] = got[name]
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	h.stop()
}

// logs for many at once, while the run goes on and after: nobody hangs.
func TestLogsFollow(t *testing.T) {
	h := newHost(t)
	h.addAgent("a", agent{command: "sh", heartbeat: off, args: []string{"-c", "for i in 1 2 3 4 5; do echo line $i; sleep 0.1; done"}})
	h.start()
	h.cli("wake", "a")
	h.eventually("it runs", func() bool { return h.agentStatus("a").Run != nil })
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			args := []string{"logs", "a", "--socket", h.socket}
			if i%2 == 0 {
				args = append(args, "-f")
			}
			ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, h.bin.Launcher, args...).Output()
			if err != nil || i%2 == 0 && strings.Count(string(out), "line ") != 5 {
				t.Errorf("%v: %v %q", args, err, out)
			}
		})
	}
	wg.Wait()
	if _, stderr, code := h.cli("logs", "nobody"); code != 1 || !strings.Contains(stderr, "no such agent") {
		t.Errorf("logs of nobody: %d %q", code, stderr)
	}
	h.stop()
}

// Two daemons never work on one state directory or one socket.
func TestSecondDaemon(t *testing.T) {
	h := newHost(t)
	h.start()
	_, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "run", "--config", h.config))
	if code != 1 || !strings.Contains(stderr, "another daemon") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if pid := h.status().PID; pid != h.cmd.Process.Pid {
		t.Errorf("pid %d answers", pid)
	}
	h.stop()
}

// sd_notify: ready when it serves, reloading with its time, stopping.
func TestNotify(t *testing.T) {
	h := newHost(t)
	socket := h.path("notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer conn.Close()
	must(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
	t.Setenv("NOTIFY_SOCKET", socket)
	expect := func(says ...string) {
		t.Helper()
		for {
			buf := make([]byte, 4096)
			n, err := conn.Read(buf)
			must(t, err)
			if strings.HasPrefix(string(buf[:n]), says[0]) {
				for _, s := range says {
					if !strings.Contains(string(buf[:n]), s) {
						t.Errorf("%q without %q", buf[:n], s)
					}
				}
				return
			}
		}
	}
	h.start()
	expect("READY=1", "STATUS=")
	must(t, h.cmd.Process.Signal(syscall.SIGHUP))
	expect("RELOADING=1", "MONOTONIC_USEC=")
	expect("READY=1")
	h.stop()
	expect("STOPPING=1")
}

// A directory of adapter files that is one link, swapped in one step.
func TestLinkSwap(t *testing.T) {
	h := newHost(t)
	h.addAgent("one", agent{command: "true", heartbeat: off})
	must(t, os.Rename(h.path("adapters.d"), h.path("v1")))
	must(t, os.Symlink("v1", h.path("adapters.d")))
	h.start()
	must(t, os.Mkdir(h.path("v2"), 0o755))
	data, err := os.ReadFile(h.path("v1/one.json"))
	must(t, err)
	must(t, os.WriteFile(h.path("v2/two.json"), data, 0o644))
	must(t, os.Symlink("v2", h.path("next")))
	must(t, os.Rename(h.path("next"), h.path("adapters.d")))
	h.eventually("the new directory holds", func() bool {
		s := h.status()
		return len(s.Agents) == 1 && s.Agents[0].Name == "two"
	})
	// And the new directory is watched, too.
	must(t, os.Remove(filepath.Join(h.dir, "v2", "two.json")))
	h.eventually("a change in the new directory", func() bool { return len(h.status().Agents) == 0 })
	h.stop()
}

// What the control socket is given names agents and nothing else: not the way
// to a file that the daemon may read and the peer may not.
func TestLogsOfNoAgent(t *testing.T) {
	h := newHost(t)
	evil := h.path("evil")
	must(t, os.Mkdir(evil, 0o755))
	must(t, os.Symlink(h.path("host.key"), filepath.Join(evil, "k.log")))
	must(t, os.WriteFile(filepath.Join(evil, "k.jsonl"), []byte(`{"runId":"k","agent":"../../evil","state":"ended"}`+"\n"), 0o644))
	h.start()
	for _, name := range []string{"../../evil", "../runs", "nobody", h.path("evil")} {
		stdout, stderr, code := h.cli("logs", name)
		if code != 1 || strings.Contains(stdout, h.seed) || !strings.Contains(stderr, "no such agent") {
			t.Errorf("logs %s: exit %d, %q, %q", name, code, stdout, stderr)
		}
	}
	h.stop()
}

// A typo that makes a file the control socket removes no file.
func TestSocketIsAFile(t *testing.T) {
	h := newHost(t)
	data, err := os.ReadFile(h.config)
	must(t, err)
	before, err := os.ReadFile(h.path("host.key"))
	must(t, err)
	h.write("config.json", []byte(strings.Replace(string(data), h.socket, h.path("host.key"), 1)))
	if _, stderr, code := runCommand(t, exec.Command(h.bin.Launcher, "run", "--config", h.config)); code != 1 || !strings.Contains(stderr, "is no socket") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if after, err := os.ReadFile(h.path("host.key")); err != nil || string(after) != string(before) {
		t.Errorf("the host key is gone: %v", err)
	}
}
