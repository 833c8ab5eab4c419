package keeper_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// A launcher that was taken over asks for what it may not have.
func TestRefusedCalls(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	null := open(t, os.DevNull, unix.O_RDWR)
	const unknown = "0197f3a0-1111-7222-8333-444455556666"
	running, _ := l.running(t, launch{shell: "exec sleep 1000"})
	for _, test := range []struct {
		name  string
		call  *wire.Call
		files []int
		want  string
	}{
		{"go for an unknown run", &wire.Call{Op: wire.OpGo, Run: unknown}, nil, "no such run"},
		{"stop of an unknown run", &wire.Call{Op: wire.OpStop, Run: unknown}, nil, "no such run"},
		{"go twice", &wire.Call{Op: wire.OpGo, Run: running}, nil, "does not wait for permission"},
		{"forget a run that lives", &wire.Call{Op: wire.OpForget, Run: running}, nil, "has not ended"},
		{"signal 0", &wire.Call{Op: wire.OpSignal, Run: running}, nil, "no signal has the number 0"},
		{"signal 65", &wire.Call{Op: wire.OpSignal, Run: running, Signal: 65}, nil, "no signal has the number 65"},
		{"another version", &wire.Call{Op: wire.OpHello, Version: 99}, nil, "restart both from one package"},
		{"start without files", &wire.Call{Op: wire.OpStart, Run: unknown, Start: &wire.Start{}}, nil, "0 files came with the call, not 7"},
		{"start with too few", &wire.Call{Op: wire.OpStart, Run: unknown, Start: &wire.Start{}}, []int{null, null}, "2 files came with the call, not 7"},
		{"start of a run twice", &wire.Call{Op: wire.OpStart, Run: running, Start: &wire.Start{}}, []int{null, null, null, null, null, null, null}, "has this run already"},
		{"spec is no memfd", &wire.Call{Op: wire.OpStart, Run: unknown, Start: &wire.Start{}}, []int{null, null, null, null, null, null, null}, "not sealed"},
		{"spec is not sealed", &wire.Call{Op: wire.OpStart, Run: unknown, Start: &wire.Start{}}, []int{memfd(t, "true", false), null, null, null, null, null, null}, "not sealed"},
		{"rules without a ruleset", &wire.Call{Op: wire.OpStart, Run: unknown, Start: &wire.Start{Dirs: true, TmpRights: 1}},
			[]int{memfd(t, "true", true), null, null, null, open(t, t.TempDir(), unix.O_PATH|unix.O_DIRECTORY), null, null}, "cannot add the agent's directories to its sandbox"},
	} {
		t.Run(test.name, func(t *testing.T) { contains(t, l.ask(test.call, test.files...).Error, test.want) })
	}
	if n := l.ask(&wire.Call{Op: wire.OpKill, Run: running}); n.Error != "" {
		t.Error(n.Error)
	}
	if r := l.ended(running); unix.WaitStatus(r.Wait).Signal() != unix.SIGKILL || r.Why != wire.WhyKill {
		t.Errorf("%+v", r)
	}
}

// What is no call ends the connection, and nothing else: agents run on, and the
// next launcher takes them over.
func TestGarbage(t *testing.T) {
	k := start(t)
	good, err := protocol.Marshal(&wire.Call{Seq: 9, Op: wire.OpQuit})
	must(t, err)
	l, _, _ := k.hello(t)
	run, pid := l.running(t, launch{shell: "exec sleep 1000"})
	l.close()
	for name, data := range map[string][]byte{
		"text": []byte("GET / HTTP/1.1\r\n\r\n"), "cut": good[:len(good)-1], "longer": append(good, 0),
		"large": make([]byte, wire.MaxDatagram+1), "a notice": {0xa1, 1, 1},
	} {
		l := k.connect(t)
		must(t, l.raw(data))
		for n := l.hear(); n != nil; n = l.hear() {
			if n.Error == "" {
				t.Errorf("%s: answered with %+v", name, n)
			}
		}
		l.close()
	}
	l, _, left := k.hello(t)
	if len(left) != 1 || left[0].Run != run || left[0].PID != pid || left[0].State != wire.RunRunning {
		t.Fatalf("left: %+v", left)
	}
	_ = l.ask(&wire.Call{Op: wire.OpKill, Run: run})
	l.ended(run)
}

func TestOneLauncherAtATime(t *testing.T) {
	k := start(t)
	first, _, _ := k.hello(t)
	second := k.connect(t)
	if n := second.hear(); n == nil || n.Error != wire.Busy {
		t.Errorf("%+v", n)
	}
	if second.hear() != nil {
		t.Error("the second launcher stays connected")
	}
	first.close()
	third, _, _ := k.hello(t)
	third.close()
}

// An agent of the launcher's own uid reaches the socket when nothing confines
// it; the keeper does not serve it, also when no launcher is connected.
func TestServesNoAgent(t *testing.T) {
	k := start(t)
	l, _, _ := k.hello(t)
	out := filepath.Join(k.dir, "said")
	// python3 may be missing; perl and bash cannot do SOCK_SEQPACKET without a
	// module, so the agent is this test's own binary.
	self, err := os.Executable()
	must(t, err)
	run, _ := l.running(t, launch{shell: "AGENT_ATTACK=" + k.socket + " exec " + self + " -test.run=TestBeAgent > " + out})
	l.close()
	poll(t, "the agent has tried", func() bool { data, _ := os.ReadFile(out); return len(data) > 0 })
	said, err := os.ReadFile(out)
	must(t, err)
	contains(t, string(said), "the keeper serves no agent")
	l, _, _ = k.hello(t)
	_ = l.ask(&wire.Call{Op: wire.OpKill, Run: run})
}

// TestBeAgent is what TestServesNoAgent has started.
func TestBeAgent(t *testing.T) {
	socket := os.Getenv("AGENT_ATTACK")
	if socket == "" {
		t.Skip("is the agent of TestServesNoAgent")
	}
	k := &process{socket: socket}
	poll(t, "the launcher is gone", func() bool {
		n := k.connect(t).hear()
		if n == nil || n.Error == wire.Busy {
			return false
		}
		_, _ = os.Stdout.WriteString(n.Error + "\n")
		return true
	})
}

func TestServesOnlyItsDaemon(t *testing.T) {
	needRoot(t)
	k := start(t, "--daemon-user", strconv.Itoa(ordinaryUID), "--uid-range", uidRange)
	if n := k.connect(t).hear(); n == nil || n.Error != "the keeper serves uid 54321 alone, not uid 0" {
		t.Errorf("%+v", n)
	}
	var st unix.Stat_t
	must(t, unix.Stat(k.socket, &st))
	if st.Uid != ordinaryUID || st.Mode&0o077 != 0 {
		t.Errorf("the socket belongs to uid %d with mode %o", st.Uid, st.Mode&0o777)
	}
}

// Only uids of the range, with the group of the same number and no other.
func TestUsers(t *testing.T) {
	needRoot(t)
	k := start(t, "--uid-range", "61184-61200", "--allow-user", "nobody")
	l, hello, _ := k.hello(t)
	if !hello.Switch || hello.First != 61184 || hello.Last != 61200 {
		t.Errorf("%+v", hello)
	}
	for _, test := range []struct {
		name string
		user *wire.User
		ok   bool
	}{
		{"first", &wire.User{UID: 61184, GID: 61184, Groups: []uint32{}}, true},
		{"last of the agents", &wire.User{UID: 61199, GID: 61199, Groups: []uint32{}}, true},
		{"a named user", &wire.User{UID: 65534, GID: 65534, Groups: []uint32{65534}}, true},
		{"the masker's", &wire.User{UID: 61200, GID: 61200, Groups: []uint32{}}, false},
		{"below", &wire.User{UID: 61183, GID: 61183, Groups: []uint32{}}, false},
		{"root", &wire.User{UID: 0, GID: 0, Groups: []uint32{}}, false},
		{"none", nil, false},
		{"root's group", &wire.User{UID: 61184, GID: 0, Groups: []uint32{}}, false},
		{"a neighbour's group", &wire.User{UID: 61184, GID: 61185, Groups: []uint32{}}, false},
		{"shadow's group", &wire.User{UID: 61184, GID: 61184, Groups: []uint32{42}}, false},
		{"the named user with root's group", &wire.User{UID: 65534, GID: 65534, Groups: []uint32{0}}, false},
		{"setresuid's -1", &wire.User{UID: 1<<32 - 1, GID: 1<<32 - 1, Groups: []uint32{}}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			run, n := l.start(t, launch{shell: "true", start: wire.Start{User: test.user}})
			if (n.Error == "") != test.ok {
				t.Fatalf("%q", n.Error)
			}
			if test.ok {
				_ = l.ask(&wire.Call{Op: wire.OpKill, Run: run})
				l.ended(run)
			}
		})
	}
}

// A directory that is not what the keeper made: nothing is given away through it.
func TestDirectoriesOfOthers(t *testing.T) {
	needRoot(t)
	k := start(t)
	l, _, _ := k.hello(t)
	victim := filepath.Join(k.dir, "victim")
	must(t, os.Mkdir(victim, 0o700))
	own := func(uid int) func(string) { // a directory of uid in its place
		return func(path string) { must(t, os.Mkdir(path, 0o700)); must(t, os.Chown(path, uid, uid)) }
	}
	link := func(path string) { must(t, os.Symlink(victim, path)) }
	for _, test := range []struct {
		name, at string
		put      func(path string)
		want     string
	}{
		{"HOME is a link", "home", link, "cannot make the agent's HOME: not a directory"},
		{"HOME is a dangling link", "home", func(p string) { must(t, os.Symlink(victim+"/new", p)) }, "cannot make the agent's HOME"},
		{"HOME is a file", "home", func(p string) { must(t, os.WriteFile(p, nil, 0o600)) }, "cannot make the agent's HOME: not a directory"},
		{"HOME is root's", "home", own(0), "HOME belongs to uid 0 and the agent runs as uid 54321"},
		{"HOME is a neighbour's", "home", own(54322), "HOME belongs to uid 54322 and the agent runs as uid 54321"},
		{"tmp is a link", "tmp", link, "cannot make the agent's directories: not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			base, err := os.MkdirTemp(k.dir, "base-")
			must(t, err)
			test.put(filepath.Join(base, test.at))
			_, n := l.start(t, launch{shell: "true", base: base, start: wire.Start{User: &wire.User{UID: 54321, GID: 54321, Groups: []uint32{}}}})
			contains(t, n.Error, test.want)
			var st unix.Stat_t
			must(t, unix.Stat(victim, &st))
			if entries, _ := os.ReadDir(victim); st.Uid != 0 || len(entries) != 0 {
				t.Errorf("the victim belongs to uid %d and holds %d files", st.Uid, len(entries))
			}
		})
	}
}
