package sandbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

func otherUser() sandbox.Policy {
	return sandbox.Policy{Profile: sandbox.ProfileOff, User: &sandbox.User{Name: "other", UID: ordinaryUID, GID: ordinaryUID + 1, Groups: []uint32{ordinaryUID + 2, ordinaryUID + 3}}}
}

func TestAgentIsItsUser(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	const uid, gid = ordinaryUID, ordinaryUID + 1
	f := h.facts(t, command(publicSelf(t, h, roleAgent)...), otherUser())
	if f.UIDs != [3]int{uid, uid, uid} || f.GIDs != [3]int{gid, gid, gid} || !slices.Equal(f.Groups, []int{gid + 1, gid + 2}) {
		t.Errorf("uids %v, gids %v, groups %v", f.UIDs, f.GIDs, f.Groups)
	}
	out, _ := h.run(t, command("/bin/cat", "/proc/self/status", "/proc/self/limits", "/proc/self/coredump_filter"), nil, otherUser())
	checkConfined(t, out)
	status := procStatus(out)
	for name, want := range map[string]string{
		"Uid": fmt.Sprintf("%d %[1]d %[1]d %[1]d", uid), "Gid": fmt.Sprintf("%d %[1]d %[1]d %[1]d", gid),
		"Groups": fmt.Sprintf("%d %d", gid+1, gid+2),
	} {
		if status[name] != want {
			t.Errorf("%s: %q, want %q", name, status[name], want)
		}
	}
	none := sandbox.Policy{Profile: sandbox.ProfileOff, User: &sandbox.User{UID: uid, GID: gid}}
	if f := h.facts(t, command(publicSelf(t, h, roleAgent)...), none); len(f.Groups) != 0 {
		t.Errorf("without supplementary groups: %v", f.Groups)
	}
}

// TestNoWayBack: neither a setuid program nor the host key helps an agent,
// whatever its user is.
func TestNoWayBack(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	setuid := filepath.Join(h.dir, "setuid-cat")
	if out, err := exec.Command("cp", "/bin/cat", setuid).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := unix.Chmod(setuid, 0o6755); err != nil {
		t.Fatal(err)
	}
	out, exit := h.run(t, command(setuid, h.key), nil, otherUser())
	if exit.Code == 0 || out != setuid+": "+h.key+": Permission denied\n" {
		t.Errorf("%v: the host key was read", exit)
	}
	out, _ = h.run(t, command(setuid, "/proc/self/status"), nil, otherUser())
	if uids := procStatus(out)["Uid"]; uids != fmt.Sprintf("%d %[1]d %[1]d %[1]d", ordinaryUID) {
		t.Errorf("through a setuid program: uids %s", uids)
	}
	// A root without capabilities owns the key file, but cannot override modes,
	// change its identity or become capable again by executing something.
	closed := filepath.Join(h.dir, "closed")
	script(t, closed, 0o600, "closed")
	if err := os.Chown(closed, ordinaryUID, ordinaryUID); err != nil {
		t.Fatal(err)
	}
	for _, shell := range []string{"cat " + closed, "chown 1:1 " + h.key, "su -c true nobody", "mount -t tmpfs none " + h.dir, "mknod " + h.dir + "/node c 1 3"} {
		if out, exit := h.run(t, command("sh", "-c", shell), nil, unconfined()); exit.Code == 0 {
			t.Errorf("root without capabilities: %s: %s", shell, out)
		}
	}
}

// TestDirectoryIsEnteredAsTheUser: root could enter it, the agent's user not.
func TestDirectoryIsEnteredAsTheUser(t *testing.T) {
	needRoot(t)
	h := newHost(t)
	closed := filepath.Join(h.dir, "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	spec := command("/bin/true")
	spec.Dir = closed
	p, err := h.Start(spec, nil, otherUser())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Cancel)
	failure(t, p, fmt.Sprintf("uid %d cannot enter working directory %s: permission denied", ordinaryUID, closed), wire.StepDir, 125)
}

// TestUserWithoutPrivilege: an ordinary launcher cannot switch, and does not
// run the agent as itself instead.
func TestUserWithoutPrivilege(t *testing.T) {
	h := newHost(t)
	policy := sandbox.Policy{Profile: sandbox.ProfileOff, User: &sandbox.User{Name: "other", UID: 12345, GID: 12345}}
	s := h.startElsewhere(t, order{Spec: command("/bin/true"), Policy: policy, Release: true}, nil)
	wantError(t, errors.New(s.Error), "cannot start agent tester: cannot run as uid 12345: the keeper runs as uid "+fmt.Sprint(ordinaryOr(os.Geteuid()))+" and may not switch")
}

func TestLookupUser(t *testing.T) {
	_, err := sandbox.LookupUser("no-such-user")
	wantError(t, err, `no user "no-such-user" on this host`)
	_, err = sandbox.LookupUser("root")
	wantError(t, err, `user "root" is root: an agent never runs as root by name`)

	nobody, err := user.Lookup("nobody")
	if err != nil {
		skip(t, "this host has no user nobody")
	}
	u, err := sandbox.LookupUser("nobody")
	if err != nil || fmt.Sprint(u.UID) != nobody.Uid || fmt.Sprint(u.GID) != nobody.Gid || u.Name != "nobody" {
		t.Errorf("%+v, %v", u, err)
	}
	if os.Geteuid() == 0 {
		checkRunsAs(t, u)
	}
}

// ordinaryOr is who startElsewhere runs as.
func ordinaryOr(uid int) int {
	if uid == 0 {
		return ordinaryUID
	}
	return uid
}

func checkRunsAs(t *testing.T, u *sandbox.User) {
	t.Helper()
	h := newHost(t)
	out, _ := h.run(t, command(publicSelf(t, h, roleAgent)...), nil, sandbox.Policy{Profile: sandbox.ProfileOff, User: u})
	var f agentFacts
	if err := json.Unmarshal([]byte(out), &f); err != nil || f.UIDs[0] != int(u.UID) || f.GIDs[0] != int(u.GID) {
		t.Errorf("%v: %s", err, out)
	}
}
