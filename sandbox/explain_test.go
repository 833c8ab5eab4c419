package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

// beUser tries what the arguments say, pairs of a use and its subject, and
// prints for each whether it was allowed.
func beUser(args []string) int {
	for i := 0; i+1 < len(args); i += 2 {
		err := tryUse(args[i], args[i+1])
		fmt.Printf("%v %q\n", !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EROFS), fmt.Sprint(err))
	}
	return 0
}

func tryUse(use, subject string) error {
	port, isPort := strings.CutPrefix(subject, ":")
	info, err := os.Stat(subject)
	isDir := err == nil && info.IsDir()
	switch {
	case isPort && use == "listen":
		return tryPort(port, unix.Bind)
	case isPort:
		return tryPort(port, unix.Connect)
	case use == "connect":
		_, err := net.Dial("unix", subject)
		return err
	case use == "read" && isDir:
		_, err := os.ReadDir(subject)
		return err
	case use == "write" && isDir:
		subject = filepath.Join(subject, "new")
		fallthrough
	case use == "create": // through a dangling link, too
		f, err := os.OpenFile(subject, os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		real, err := filepath.EvalSymlinks(subject)
		return errors.Join(err, f.Close(), os.Remove(real))
	case use == "write":
		f, err := os.OpenFile(subject, os.O_WRONLY, 0)
		return errors.Join(err, f.Close()) // open for writing it could not be executed
	case use == "execute":
		_, err := os.StartProcess(subject, []string{subject}, &os.ProcAttr{})
		return err
	}
	_, err = os.Open(subject)
	return err
}

func tryPort(port string, call func(int, unix.Sockaddr) error) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return call(fd, &unix.SockaddrInet4{Port: atoi(port), Addr: [4]byte{127, 0, 0, 1}})
}

// scenery is what the paths of TestVerdicts lie in.
func scenery(t *testing.T, h *host) sandbox.Places {
	t.Helper()
	at := func(name string) string { return filepath.Join(h.dir, name) }
	state := at("state")
	for _, dir := range []string{"work", "data", "closed", "state/agents/a/home", "state/agents/a/tmp", "state/agents/b/home", "outside"} {
		check(t, os.MkdirAll(at(dir), 0o755))
		check(t, os.Chmod(at(dir), 0o777))
	}
	for name, mode := range map[string]os.FileMode{"data/open": 0o666, "data/mine": 0o600, "data/program": 0o755, "closed/file": 0o666, "outside/file": 0o666,
		"outside/linked": 0o666, "outside/program": 0o755, "state/secret": 0o666, "state/agents/b/home/file": 0o666} {
		check(t, os.WriteFile(at(name), []byte("#!/bin/true\n"), mode))
		check(t, os.Chmod(at(name), mode))
	}
	check(t, os.Symlink(at("outside/file"), at("work/link")))
	check(t, os.Symlink("../data/open", at("work/in")))
	check(t, os.Symlink("nowhere", at("work/dangling")))
	check(t, os.Symlink(at("data"), at("way")))
	check(t, os.Link(at("outside/linked"), at("data/hard")))
	check(t, os.Chmod(at("closed"), 0o700))
	socket, err := net.Listen("unix", at("socket"))
	check(t, err)
	t.Cleanup(func() { _ = socket.Close() })
	check(t, os.Chmod(at("socket"), 0o777))
	return sandbox.Places{Dir: at("work"), Home: state + "/agents/a/home", Tmp: state + "/agents/a/tmp", Private: []string{state, at("host.key"), ""}}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What Explain says is what the kernel does, for each policy, user and path.
func TestVerdicts(t *testing.T) {
	h := newHost(t)
	places := scenery(t, h)
	subjects := []string{"/usr", "/etc/passwd", "/etc/shadow", "/etc/ssl", "/root", "/", "/dev/null", "/dev/full", "/proc/self/status", "/proc/self/mem", "/proc/version",
		fmt.Sprintf("/proc/%d/environ", os.Getpid()), fmt.Sprintf("/proc/%d/status", os.Getpid()), "/bin/true", "/usr/bin/env", "/sys/devices/system/cpu", "/sys/kernel", "/tmp", "/no/such", ":443", ":8080", ":80"}
	for _, name := range []string{"work", "work/new", "work/link", "work/in", "work/dangling", "work/../outside/file", "data", "data/open", "data/mine", "data/program", "data/hard",
		"way/open", "way/new", "closed/file", "closed", "outside", "outside/file", "outside/linked", "outside/program", "outside/new", "socket", "host.key",
		"state", "state/secret", "state/agents/a/home", "state/agents/a/home/new", "state/agents/a/tmp", "state/agents/b/home", "state/agents/b/home/file"} {
		subjects = append(subjects, filepath.Join(h.dir, "x")[:len(h.dir)+1]+name) // Join would clean it
	}
	data, hard := filepath.Join(h.dir, "data"), filepath.Join(h.dir, "outside/linked")
	policies := map[string]sandbox.Policy{
		"workspace": {Profile: sandbox.ProfileWorkspace},
		"strict":    {Profile: sandbox.ProfileStrict},
		"off":       {Profile: sandbox.ProfileOff},
		"read":      {Profile: sandbox.ProfileWorkspace, Read: []string{filepath.Join(h.dir, "way")}, ConnectTCP: []uint16{443}, UnixSockets: true},
		"write":     {Profile: sandbox.ProfileStrict, Write: []string{data, hard}, BindTCP: []uint16{8080, 80}},
		"exec":      {Profile: sandbox.ProfileWorkspace, Exec: []string{data}, Read: []string{filepath.Join(h.dir, "closed")}},
	}
	users := map[string]*sandbox.User{"own": nil}
	if os.Geteuid() == 0 {
		users["other"] = &sandbox.User{Name: "other", UID: ordinaryUID, GID: ordinaryUID, Groups: []uint32{7}}
	}
	for name, policy := range policies {
		for as, user := range users {
			t.Run(name+" as "+as, func(t *testing.T) {
				policy.User = user
				compareVerdicts(t, h, places, policy, subjects)
			})
		}
	}
}

func compareVerdicts(t *testing.T, h *host, places sandbox.Places, policy sandbox.Policy, subjects []string) {
	t.Helper()
	argv := publicSelf(t, h, roleUser)
	x := throughJSON(t, sandbox.Explain(policy, places, argv[0], "", h.Host()))
	if len(x.Problems) > 0 {
		skip(t, strings.Join(x.Problems, "; "))
	}
	var uses []sandbox.Use
	for _, s := range subjects {
		if policy.Profile == sandbox.ProfileOff && strings.HasSuffix(s, "/environ") {
			continue // depends on what the other process may do
		}
		var v sandbox.Verdict
		if port, ok := strings.CutPrefix(s, ":"); ok {
			v = x.Port(uint16(atoi(port)))
		} else {
			v = x.Path(s)
		}
		for _, u := range v.Uses {
			uses = append(uses, u)
			argv = append(argv, u.Use, s)
		}
	}
	spec := sandbox.LaunchSpec{Agent: "a", Argv: argv, Dir: places.Dir, Places: places}
	out, _ := h.run(t, spec, nil, policy)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != len(uses) {
		t.Fatalf("%d answers, want %d: %s", len(lines), len(uses), out)
	}
	for i, u := range uses {
		done, why, _ := strings.Cut(lines[i], " ")
		if allowed, _ := strconv.ParseBool(done); allowed != u.Allowed && !strings.Contains(why, "no such file") {
			t.Errorf("%s %s: explained as %v (%s), in truth %s", argv[2+2*i], argv[3+2*i], u.Allowed, u.Why, lines[i])
		}
		if u.Why == "" || u.Allowed && (u.Add != "" || u.Never) {
			t.Errorf("%s %s: %+v", argv[2+2*i], argv[3+2*i], u)
		}
	}
}

func throughJSON(t *testing.T, x *sandbox.Explained) *sandbox.Explained {
	t.Helper()
	data, err := json.Marshal(x)
	check(t, err)
	var out sandbox.Explained
	check(t, json.Unmarshal(data, &out))
	return &out
}
