package keeper_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// escape is a shell that does all it can to be forgotten: a grandchild in
// a session and group of its own, whose parent is gone, which ignores what it
// may ignore. Its pid is in FILE.
const escape = `setsid sh -c '(trap "" TERM HUP INT; echo $$ > %[1]s.tmp; sh -c "echo \$PPID" > %[1]s.tmp; mv %[1]s.tmp %[1]s; while :; do sleep 100; done) & exit 0' &
while [ ! -e %[1]s ]; do sleep 0.01; done; `

func escaped(t *testing.T, k *process) (shell string, pid func() int) {
	file := filepath.Join(k.dir, "escaped")
	return fmt.Sprintf(escape, file), func() int {
		var n int
		poll(t, "the grandchild says its pid", func() bool {
			data, _ := os.ReadFile(file)
			n, _ = strconv.Atoi(strings.TrimSpace(string(data)))
			return n > 0
		})
		return n
	}
}

// Whatever ends a run ends its whole tree, before its end is told.
func TestNothingSurvives(t *testing.T) {
	for _, test := range []struct {
		name, first, then string
		end               func(l *launcher, run string)
		start             wire.Start
		why               wire.Why
		killed            bool
	}{
		{"its own end", "", "exit 7", func(*launcher, string) {}, wire.Start{}, 0, false},
		{"stop", "", "exec sleep 1000", func(l *launcher, run string) { _ = l.ask(&wire.Call{Op: wire.OpStop, Run: run}) }, wire.Start{GraceMS: 60000}, wire.WhyStop, false},
		{"stop that is ignored", `trap "" TERM; `, "sleep 1000; sleep 1000", func(l *launcher, run string) { _ = l.ask(&wire.Call{Op: wire.OpStop, Run: run}) }, wire.Start{GraceMS: 10}, wire.WhyStop, true},
		{"kill", "", "exec sleep 1000", func(l *launcher, run string) { _ = l.ask(&wire.Call{Op: wire.OpKill, Run: run}) }, wire.Start{}, wire.WhyKill, true},
		{"deadline", "", "exec sleep 1000", func(*launcher, string) {}, wire.Start{TimeoutMS: 300, GraceMS: 60000}, wire.WhyTimeout, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := start(t)
			l, _, _ := k.hello(t)
			shell, pid := escaped(t, k)
			run, _ := l.running(t, launch{shell: test.first + shell + test.then, start: test.start})
			grandchild := pid()
			test.end(l, run)
			r := l.ended(run)
			if alive(grandchild) && !zombie(grandchild) {
				t.Errorf("the grandchild lives on")
			}
			if r.Why != test.why || r.Killed != test.killed {
				t.Errorf("why %d, killed %v", r.Why, r.Killed)
			}
			if n := l.ask(&wire.Call{Op: wire.OpForget, Run: run}); n.Error != "" {
				t.Error(n.Error)
			}
		})
	}
}

func zombie(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(data), ") Z ")
}

// The launcher gone: stages that wait end, agents run on, their deadline holds,
// and how they ended is kept.
func TestLauncherGone(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	mark := filepath.Join(k.dir, "ran")
	waits, n := l.start(t, launch{shell: "> " + mark})
	if n.Error != "" {
		t.Fatal(n.Error)
	}
	runs, _ := l.running(t, launch{shell: "exec sleep 1000"})
	ends, _ := l.running(t, launch{shell: "exit 42"})
	late, _ := l.running(t, launch{shell: "exec sleep 1000", start: wire.Start{TimeoutMS: 200, GraceMS: 1000}})
	l.close()

	var left map[string]*wire.RunNow
	poll(t, "three runs have ended", func() bool {
		again, _, list := k.hello(t)
		again.close()
		left = map[string]*wire.RunNow{}
		ended := 0
		for _, r := range list { // news of an end may come before the list
			left[r.Run] = r
		}
		for _, r := range left {
			if r.State == wire.RunEnded {
				ended++
			}
		}
		return ended == 3
	})
	if r := left[runs]; r.State != wire.RunRunning || !alive(r.PID) {
		t.Errorf("the agent: %+v", r)
	}
	if r := left[waits]; r.Why != wire.WhyNoGo || unix.WaitStatus(r.Wait).ExitStatus() != 125 {
		t.Errorf("the stage: %+v", r)
	}
	if r := left[ends]; unix.WaitStatus(r.Wait).ExitStatus() != 42 || r.Why != 0 {
		t.Errorf("the one that ended: %+v", r)
	}
	if r := left[late]; r.Why != wire.WhyTimeout || unix.WaitStatus(r.Wait).Signal() != unix.SIGTERM {
		t.Errorf("the late one: %+v", r)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("an agent ran without permission")
	}
}

// SIGTERM ends agents with their grace, then the keeper; its socket is gone.
func TestTerminated(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	shell, pid := escaped(t, k)
	run, agent := l.running(t, launch{shell: shell + "exec sleep 1000", start: wire.Start{GraceMS: 10000}})
	grandchild := pid()
	must(t, k.cmd.Process.Signal(syscall.SIGTERM))
	if r := l.ended(run); r.Why != wire.WhyQuit || unix.WaitStatus(r.Wait).Signal() != unix.SIGTERM {
		t.Errorf("%+v", r)
	}
	if err := k.cmd.Wait(); err != nil {
		t.Errorf("the keeper: %v", err)
	}
	if _, err := os.Stat(k.socket); err == nil {
		t.Error("the socket is left")
	}
	for _, pid := range []int{agent, grandchild} {
		if alive(pid) && !zombie(pid) {
			t.Errorf("pid %d is left", pid)
		}
	}
}

// SIGTERM among as many other signals as a neighbour can send.
func TestTerminatedInAFlood(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	for range 8 {
		go func() {
			for k.cmd.Process.Signal(syscall.SIGCHLD) == nil {
			}
		}()
	}
	run, _ := l.running(t, launch{shell: "exec sleep 1000", start: wire.Start{GraceMS: 10000}})
	must(t, k.cmd.Process.Signal(syscall.SIGTERM))
	if r := l.ended(run); r.Why != wire.WhyQuit {
		t.Errorf("%+v", r)
	}
	if err := k.cmd.Wait(); err != nil {
		t.Errorf("the keeper: %v", err)
	}
}

// The keeper killed: its agents end with it, since nobody else would end them.
func TestKilled(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	_, pid := l.running(t, launch{shell: "exec sleep 1000"})
	must(t, k.cmd.Process.Kill())
	_ = k.cmd.Wait()
	poll(t, "the agent ends", func() bool { return !alive(pid) || zombie(pid) })
}

// What becomes of the output of an agent whose masker gets a signal between the
// agent's two lines: another masker takes over, and one that hangs does not hold
// back the end of runs for ever.
func TestMaskerGets(t *testing.T) {
	needRoot(t) // the keeper's children are listed for itself and root
	for _, signal := range []string{"KILL", "STOP"} {
		t.Run(signal, func(t *testing.T) {
			t.Parallel() // a masker that hangs takes the keeper's patience
			k := start(t)
			l, _, _ := k.hello(t)
			log := filepath.Join(k.dir, "log")
			file, err := os.Create(log)
			must(t, err)
			defer file.Close()
			goOn := filepath.Join(k.dir, "go-on")
			null := open(t, os.DevNull, unix.O_RDWR)
			shell := "echo before; while [ ! -e " + goOn + " ]; do sleep 0.01; done; echo after"
			run, _ := l.running(t, launch{files: []int{memfd(t, shell, true), null, int(file.Fd()), null, null}})
			poll(t, "the first line", func() bool { data, _ := os.ReadFile(log); return string(data) == "before\n" })
			must(t, exec.Command("pkill", "-"+signal, "-P", strconv.Itoa(k.cmd.Process.Pid), "-f", "agent-launcher-stage masker").Run())
			must(t, os.WriteFile(goOn, nil, 0o600))
			r := l.ended(run)
			data, err := os.ReadFile(log)
			must(t, err)
			if string(data) != "before\nafter\n" || r.Kept != uint64(len(data)) || r.Lost != 0 {
				t.Errorf("%q, %+v", data, r)
			}
		})
	}
}

// HOME stays, TMPDIR is the run's alone and goes with it.
func TestDirectories(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	base, err := os.MkdirTemp(k.dir, "base-")
	must(t, err)
	must(t, os.Chmod(base, 0o711))
	user := (*wire.User)(nil)
	if os.Geteuid() == 0 {
		user = &wire.User{UID: ordinaryUID, GID: ordinaryUID, Groups: []uint32{}}
	}
	// An earlier keeper was killed before it could empty this one.
	old := filepath.Join(base, "tmp", "444455556666")
	must(t, os.MkdirAll(filepath.Join(old, "deep", "er"), 0o700))
	must(t, os.Chmod(filepath.Join(base, "tmp"), 0o711))
	id := uuid.NewString()
	shell := fmt.Sprintf(`set -e; cd %s; echo x > home/kept; cd tmp/`+wire.TmpName(id)+`; mkdir -p a/b; echo x > a/b/c; ln -s %s/home link; chmod 000 a/b`, base, base)
	run, n := l.start(t, launch{shell: "true", base: base, start: wire.Start{User: user}})
	if n.Error != "" {
		t.Fatal(n.Error)
	}
	_ = l.ask(&wire.Call{Op: wire.OpKill, Run: run})
	l.ended(run)
	if n = l.startAs(t, id, launch{shell: shell, base: base, start: wire.Start{User: user}}); n.Error != "" {
		t.Fatal(n.Error)
	}
	poll(t, "the old TMPDIRs are gone", func() bool { e, _ := os.ReadDir(filepath.Join(base, "tmp")); return len(e) == 1 })
	if said := l.ask(&wire.Call{Op: wire.OpGo, Run: id}); said.Error != "" {
		t.Fatal(said.Error)
	}
	if r := l.ended(id); unix.WaitStatus(r.Wait).ExitStatus() != 0 {
		t.Fatalf("the agent: %+v", r)
	}
	poll(t, "its TMPDIR is gone", func() bool { e, _ := os.ReadDir(filepath.Join(base, "tmp")); return len(e) == 0 })
	if data, err := os.ReadFile(filepath.Join(base, "home", "kept")); string(data) != "x\n" {
		t.Errorf("%q, %v", data, err)
	}
}

// A place that is taken: a file is not removed, a keeper that lives not
// replaced, and a dead socket makes room.
func TestSocketPlace(t *testing.T) {
	k := start(t)
	again := func(socket string) string {
		cmd := exec.Command(testbin.Build(t).Stage, "keeper", "--socket", socket, "--host-key", filepath.Join(k.dir, "host.key"))
		out := make(chan []byte, 1)
		pipe, err := cmd.StderrPipe()
		must(t, err)
		must(t, cmd.Start())
		timer := time.AfterFunc(deadline, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		buf := make([]byte, 4096)
		n, _ := pipe.Read(buf)
		out <- buf[:n]
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return string(<-out)
	}
	contains(t, again(k.socket), "another keeper answers there")
	file := filepath.Join(k.dir, "precious")
	must(t, os.WriteFile(file, []byte("x"), 0o600))
	contains(t, again(file), "it exists and is no socket")
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}
