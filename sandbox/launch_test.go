package sandbox_test

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

func TestValuesArriveExactly(t *testing.T) {
	h := newHost(t)
	every := make([]byte, 255)
	for i := range every {
		every[i] = byte(i + 1)
	}
	secrets := map[string]string{
		"A_NEWLINE":   "first\nsecond\n",
		"B_CRLF":      "first\r\nsecond\r\n",
		"C_NOT_UTF8":  "\xff\xfe\x80 caf\xe9",
		"D_EQUALS":    "=a==b=",
		"E_ONE_BYTE":  "x",
		"F_EVERY":     string(every),
		"G_SPACES":    "  \t two ",
		"H_SHELL":     `$(id) "${HOME}" 'x' \ ; rm -rf`,
		"I_LONGEST":   strings.Repeat("v", 131072-len("I_LONGEST=")-1),
		"_underscore": "lower case, too",
	}
	spec := command(environ...)
	spec.Env["PLAIN"], spec.Env["EMPTY"] = "a = b\n\tüñï", ""
	got := strings.Split(bare(t, h.must(t, spec, h.seal(t, secrets))), "\x00")

	want := []string{""} // after the last NUL
	maps.Copy(secrets, spec.Env)
	for name, value := range secrets {
		want = append(want, name+"="+value)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got  %.200q\nwant %.200q", got, want)
	}
}

// environ prints its environment in a way that nobody masks; bare undoes that.
var environ = []string{"od", "-An", "-v", "-tx1", "/proc/self/environ"}

func bare(t testing.TB, output string) string {
	t.Helper()
	out, err := hex.DecodeString(strings.Join(strings.Fields(output), ""))
	if err != nil {
		t.Fatalf("%v in %.200q", err, output)
	}
	return string(out)
}

func TestNoBundleAndEmptyBundle(t *testing.T) {
	h := newHost(t)
	spec := command("/bin/cat", "/proc/self/environ")
	want := "PATH=" + spec.Env["PATH"] + "\x00"
	if got := h.must(t, spec, nil); got != want {
		t.Errorf("no bundle: %q", got)
	}
	if got := h.must(t, spec, h.seal(t, nil)); got != want {
		t.Errorf("bundle without refs: %q", got)
	}
	if got := h.must(t, sandbox.LaunchSpec{Agent: "a", Dir: "/", Argv: spec.Argv}, nil); got != "" {
		t.Errorf("empty environment: %q", got)
	}
}

// TestWhatAnAgentIs reads what the kernel says of a program that changes
// nothing about itself.
func TestWhatAnAgentIs(t *testing.T) {
	h := newHost(t)
	ours := unix.Umask(0o077)
	defer unix.Umask(ours)
	p := h.start(t, command("/bin/cat", "/proc/self/status", "/proc/self/limits", "/proc/self/coredump_filter", "/proc/self/stat"),
		h.seal(t, map[string]string{"TOKEN": "value"}))
	out, _ := finish(t, p)
	if p.Memory != "memfd_secret" {
		skip(t, "this kernel has no memfd_secret, so the values lay in: "+p.Memory)
	}
	checkConfined(t, out)
	pid := fmt.Sprint(p.PID)
	// pid (cat) state ppid pgrp session tty_nr
	stat := strings.Fields(out[strings.LastIndex(out, ") ")+2:])
	if stat[2] != pid || stat[3] != pid || stat[4] != "0" {
		t.Errorf("pid %s has process group %s, session %s, terminal %s", pid, stat[2], stat[3], stat[4])
	}
}

// checkConfined checks the status, limits and coredump_filter of an agent.
func checkConfined(t *testing.T, out string) {
	t.Helper()
	status := procStatus(out)
	const none, noSignal = "0000000000000000", "0000000000000000"
	want := map[string]string{
		"NoNewPrivs": "1", "Umask": "0022", "Threads": "1",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none,
		"SigBlk": noSignal, "SigIgn": noSignal, "SigCgt": noSignal,
	}
	if os.Geteuid() == 0 {
		want["CapBnd"] = none
	}
	for name, value := range want {
		if status[name] != value {
			t.Errorf("%s is %q, want %q", name, status[name], value)
		}
	}
	for _, limit := range []struct {
		name string
		want func(soft, hard string) bool
	}{
		{"Max core file size", func(soft, hard string) bool { return soft == "1" && hard == "1" }},
		{"Max open files", func(soft, hard string) bool {
			return soft == fmt.Sprint(min(1024, hardNofile(t))) && hard == fmt.Sprint(hardNofile(t))
		}},
	} {
		_, line, _ := strings.Cut(out, limit.name)
		if fields := strings.Fields(line); len(fields) < 2 || !limit.want(fields[0], fields[1]) {
			t.Errorf("%s: %.40q", limit.name, line)
		}
	}
	if !strings.Contains(out, "\n00000000\n") {
		t.Error("coredump_filter is not 0")
	}
}

func hardNofile(t *testing.T) uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return limit.Max
}

// facts runs the test binary as an agent.
func (h *host) facts(t *testing.T, spec sandbox.LaunchSpec, policy sandbox.Policy) agentFacts {
	t.Helper()
	out, exit := h.run(t, spec, h.seal(t, map[string]string{"TOKEN": "value"}), policy)
	var f agentFacts
	if err := json.Unmarshal([]byte(out), &f); err != nil || exit.Code != 0 {
		t.Fatalf("%v, %v: %s", exit, err, out)
	}
	return f
}

func TestArgumentsDirectoryStdin(t *testing.T) {
	h := newHost(t)
	args := []string{"", "a b", "-x", "'\"\n", "üñï"}
	spec := command(self(t, roleAgent, args...)...)
	spec.Dir = h.dir
	spec.Stdin = []byte(strings.Repeat("line\n", 50_000)) // more than a pipe holds
	f := h.facts(t, spec, unconfined())
	if !slices.Equal(f.Args, args) || f.Dir != h.dir || string(f.Stdin) != string(spec.Stdin) {
		t.Errorf("got %q in %s, %d bytes on stdin", f.Args, f.Dir, len(f.Stdin))
	}
	spec.Stdin = nil
	if f := h.facts(t, spec, unconfined()); len(f.Stdin) != 0 {
		t.Errorf("stdin is not empty: %d bytes", len(f.Stdin))
	}
}

// TestDescriptors: only 0, 1, 2 reach the agent, although the launcher has one
// that it may have inherited itself, open without close-on-exec.
func TestDescriptors(t *testing.T) {
	h := newHost(t)
	inherited, err := unix.Dup(2)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	high, err := unix.FcntlInt(2, unix.F_DUPFD, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(high)
	spec := command(self(t, roleAgent)...)
	spec.Env["GODEBUG"] = "containermaxprocs=0" // else the agent's own Go runtime keeps files of its cgroup open
	f := h.facts(t, spec, unconfined())
	fds := slices.Sorted(maps.Keys(f.FDs))
	if !reflect.DeepEqual(fds, []int{0, 1, 2}) {
		t.Fatalf("open descriptors: %v", fds)
	}
	for fd, flags := range f.FDs {
		if flags&unix.O_NONBLOCK != 0 {
			t.Errorf("descriptor %d does not block: a plain write would fail with EAGAIN", fd)
		}
	}
}

func TestOutputHoldsBothStreamsInOrder(t *testing.T) {
	h := newHost(t)
	out, exit := h.run(t, command("sh", "-c", "echo out; echo err >&2; echo out again; exit 3"), nil, unconfined())
	if out != "out\nerr\nout again\n" || exit.String() != "exit status 3" {
		t.Errorf("%q, %v", out, exit)
	}
	_, exit = h.run(t, command("sh", "-c", "kill -USR1 $$"), nil, unconfined())
	if exit.Signal != unix.SIGUSR1 || exit.String() != "signal: user defined signal 1" {
		t.Errorf("%v", exit)
	}
}

// TestProgramIsFoundLikeExecvp covers PATH, directories in it that do not help
// and names with a slash.
func TestProgramIsFoundLikeExecvp(t *testing.T) {
	h := newHost(t)
	for _, name := range []string{"first", "second"} {
		if err := os.Mkdir(filepath.Join(h.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	script(t, filepath.Join(h.dir, "first", "tool"), 0o644, "#!/bin/sh\necho first\n")
	script(t, filepath.Join(h.dir, "second", "tool"), 0o755, "#!/bin/sh\necho second\n")
	path := strings.Join([]string{"relative", "/nonexistent", "/bin/sh", h.dir + "/first", h.dir + "/second"}, ":")
	for _, test := range []struct{ command, dir string }{
		{"tool", "/"},
		{"./tool", h.dir + "/second"},
		{"second/tool", h.dir},
		{h.dir + "/second/tool", "/"},
	} {
		spec := command(test.command)
		spec.Dir, spec.Env["PATH"] = test.dir, path
		if out := h.must(t, spec, nil); out != "second\n" {
			t.Errorf("%s in %s: %q", test.command, test.dir, out)
		}
	}
}

func script(t testing.TB, path string, mode os.FileMode, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestSignalsOfTheLauncherStayThere starts an agent from a launcher under nohup
// that also has a signal blocked.
func TestSignalsOfTheLauncherStayThere(t *testing.T) {
	h := newHost(t)
	wrap := []string{"/usr/bin/env", "--ignore-signal=HUP,INT,QUIT,USR2,PIPE,CHLD", "--block-signal=USR1,TERM"}
	if err := runQuietly(append(wrap, "true")...); err != nil {
		skip(t, "env(1) cannot ignore and block signals: "+err.Error())
	}
	s := h.startElsewhere(t, order{Spec: command("/bin/cat", "/proc/self/status"), Release: true}, nil, wrap...)
	if s.Error != "" {
		t.Fatal(s.Error)
	}
	var text strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		text.WriteString(line)
		if strings.HasPrefix(line, "nonvoluntary_ctxt_switches") { // the last one
			break
		}
	}
	status := procStatus(text.String())
	for _, name := range []string{"SigBlk", "SigIgn", "SigCgt"} {
		if status[name] != "0000000000000000" {
			t.Errorf("%s is %s", name, status[name])
		}
	}
}
