package keeper_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

const (
	agentUID = 61184
	uidRange = "61184-61200"
)

// takenOver runs one of the tests below as a launcher of an ordinary user that
// has a mount namespace of its own, as every user may.
func (k *process) takenOver(t *testing.T, name, victim string) {
	t.Helper()
	if err := exec.Command("setpriv", "--reuid", strconv.Itoa(ordinaryUID), "unshare", "-rm", "true").Run(); err != nil {
		if os.Getenv("REQUIRE_SANDBOX") == "1" {
			t.Fatalf("REQUIRE_SANDBOX=1, but an ordinary user gets no mount namespace here: %v", err)
		}
		t.Skip("an ordinary user gets no mount namespace here")
	}
	program := filepath.Join(k.dir, "launcher.test")
	self, err := os.Open("/proc/self/exe")
	must(t, err)
	defer self.Close()
	file, err := os.OpenFile(program, os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(file, self)
	must(t, err)
	must(t, file.Close())
	must(t, os.Chmod(program, 0o755))
	work := filepath.Join(k.dir, "work")
	must(t, os.Mkdir(work, 0o711))
	must(t, os.Chmod(work, 0o711))
	must(t, os.Chown(work, ordinaryUID, ordinaryUID))
	cmd := exec.Command("setpriv", "--reuid", strconv.Itoa(ordinaryUID), "--regid", strconv.Itoa(ordinaryUID), "--clear-groups",
		"unshare", "-rm", program, "-test.run=^"+name+"$")
	env := []string{"TAKEN_OVER=" + k.socket, "WORK=" + work, "VICTIM=" + victim, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=" + work}
	helper := exec.Command("setpriv", "--reuid", strconv.Itoa(ordinaryUID), "--regid", strconv.Itoa(ordinaryUID), "--clear-groups",
		program, "-test.run=^TestExchange$")
	cmd.Dir, cmd.Env, helper.Dir, helper.Env = "/", env, "/", env
	if name == "TestMountHOME" {
		must(t, helper.Start())
		defer func() { _ = helper.Process.Kill(); _ = helper.Wait() }()
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the attack was not tried to its end: %v\n%s", err, out)
	}
}

func takenOver(t *testing.T) (k *process, work, victim string) {
	t.Helper()
	if os.Getenv("TAKEN_OVER") == "" {
		t.Skip("is started by another test")
	}
	return &process{socket: os.Getenv("TAKEN_OVER")}, os.Getenv("WORK"), os.Getenv("VICTIM")
}

// asAgent is a launch spec that a user of the range may run.
func asAgent(t testing.TB, shell, base string) launch {
	return launch{shell: shell, base: base, start: wire.Start{User: &wire.User{UID: agentUID, GID: agentUID, Groups: []uint32{}}}}
}

// A launcher that was taken over mounts somebody else's directory, in a
// namespace of its own, where the keeper expects an old TMPDIR.
func TestTMPDIRIsAMount(t *testing.T) {
	needRoot(t)
	for _, owner := range []int{0, 54322} {
		t.Run("of uid "+strconv.Itoa(owner), func(t *testing.T) {
			k := start(t, "--daemon-user", strconv.Itoa(ordinaryUID), "--uid-range", uidRange)
			victim := filepath.Join(k.dir, "victim")
			must(t, os.MkdirAll(filepath.Join(victim, "sub"), 0o700))
			must(t, os.WriteFile(filepath.Join(victim, "sub", "file"), []byte("x"), 0o600))
			for _, p := range []string{"", "sub", "sub/file"} {
				must(t, os.Chown(filepath.Join(victim, p), owner, owner))
			}
			k.takenOver(t, "TestMountTMPDIR", victim)
			if _, err := os.Stat(filepath.Join(victim, "sub", "file")); err != nil {
				t.Errorf("the keeper removed what is uid %d's: %v", owner, err)
			}
		})
	}
}

func TestMountTMPDIR(t *testing.T) {
	k, work, victim := takenOver(t)
	old := filepath.Join(work, "tmp", wire.TmpName(uuid.NewString()))
	must(t, os.MkdirAll(old, 0o755))
	must(t, os.WriteFile(filepath.Join(old, "not empty"), nil, 0o600))
	must(t, unix.Mount(victim, old, "", unix.MS_BIND, ""))
	l, _, _ := k.hello(t)
	run, n := l.start(t, asAgent(t, "true", work))
	t.Logf("%s %+v", run, n)
	for range 200 { // the keeper is asked something until the sweep is over
		if _, err := os.Lstat(old); err != nil {
			break
		}
		unix.Select(0, nil, nil, nil, &unix.Timeval{Usec: 5000})
	}
}

// The same, in the moment between making HOME and opening it: a helper outside of
// the namespace exchanges the two, which is no mount point there.
func TestHOMEBecomesAMount(t *testing.T) {
	needRoot(t)
	k := start(t, "--daemon-user", strconv.Itoa(ordinaryUID), "--uid-range", uidRange)
	victim := filepath.Join(k.dir, "victim")
	must(t, os.Mkdir(victim, 0o755))
	k.takenOver(t, "TestMountHOME", victim)
	var st unix.Stat_t
	must(t, unix.Stat(victim, &st))
	if st.Uid != 0 {
		t.Errorf("root's directory belongs to uid %d now", st.Uid)
	}
}

const tries = 400

func TestMountHOME(t *testing.T) {
	k, work, victim := takenOver(t)
	base := func(i int) string { return filepath.Join(work, strconv.Itoa(i)) }
	for i := range tries {
		must(t, os.MkdirAll(filepath.Join(base(i), "trap"), 0o755))
		must(t, unix.Mount(victim, filepath.Join(base(i), "trap"), "", unix.MS_BIND, ""))
	}
	l, _, _ := k.hello(t)
	must(t, os.WriteFile(filepath.Join(work, "go"), nil, 0o600))
	unix.Select(0, nil, nil, nil, &unix.Timeval{Usec: 100000})
	for i := range tries {
		run, n := l.start(t, asAgent(t, "true", base(i)))
		if n.Error == "" {
			_ = l.ask(&wire.Call{Op: wire.OpKill, Run: run})
		}
		var st unix.Stat_t
		if must(t, unix.Stat(victim, &st)); st.Uid != 65534 { // nobody stands for root, whom this namespace has no number for
			t.Fatalf("try %d: %+v", i, st.Uid)
		}
		_ = os.WriteFile(filepath.Join(base(i), "next"), nil, 0o600)
	}
}

// TestExchange is the helper.
func TestExchange(t *testing.T) {
	_, work, _ := takenOver(t)
	poll(t, "the launcher is ready", func() bool { _, err := os.Stat(filepath.Join(work, "go")); return err == nil })
	for i := range tries {
		base := filepath.Join(work, strconv.Itoa(i))
		trap, home, next := filepath.Join(base, "trap"), filepath.Join(base, "home"), filepath.Join(base, "next")
		for n := 0; unix.Renameat2(unix.AT_FDCWD, trap, unix.AT_FDCWD, home, unix.RENAME_EXCHANGE) != nil; n++ {
			if n%1000 == 999 {
				if _, err := os.Stat(next); err == nil {
					break
				}
			}
		}
	}
}
