package sandbox

import (
	"strings"
	"testing"
)

// What a kernel of each Landlock ABI enforces, without such a kernel.
func TestEnforce(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy Policy
		abi    int
		lost   []string
		net    bool
	}{
		{"all of workspace", Policy{Profile: ProfileWorkspace}, 7, nil, false},
		{"all of strict", Policy{Profile: ProfileStrict}, 6, nil, true},
		{"a future kernel", Policy{Profile: ProfileWorkspace}, 99, nil, false},
		{"before scopes", Policy{Profile: ProfileWorkspace}, 5, []string{"signals"}, false},
		{"before ioctl", Policy{Profile: ProfileWorkspace}, 4, []string{"ioctl", "signals"}, false},
		{"before ports, none wanted", Policy{Profile: ProfileWorkspace}, 3, []string{"ioctl", "signals"}, false},
		{"before ports", Policy{Profile: ProfileStrict}, 3, []string{"ioctl", "TCP", "signals"}, false},
		{"before ports, one listed", Policy{Profile: ProfileWorkspace, BindTCP: []uint16{1}}, 3, []string{"ioctl", "TCP", "signals"}, false},
		{"before truncate", Policy{Profile: ProfileWorkspace}, 2, []string{"truncating", "ioctl", "signals"}, false},
		{"before refer: denied always, so not lost", Policy{Profile: ProfileWorkspace}, 1, []string{"truncating", "ioctl", "signals"}, false},
		{"no Landlock", Policy{Profile: ProfileWorkspace}, 0, []string{"the file system", "truncating", "ioctl", "signals"}, false},
		{"all of a plugin's", Policy{Profile: ProfilePlugin}, 7, nil, true},
		{"a plugin before ports: it has no such sockets", Policy{Profile: ProfilePlugin}, 3, []string{"ioctl", "signals"}, false},
		{"off", Policy{Profile: ProfileOff}, 0, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := enforce(&c.policy, Host{ABI: c.abi, Cgroup: true})
			if len(e.Lost) != len(c.lost) {
				t.Fatalf("lost %q, want %q", e.Lost, c.lost)
			}
			for i, says := range c.lost {
				if !strings.Contains(e.Lost[i], says) {
					t.Errorf("lost %q, want %q", e.Lost[i], says)
				}
			}
			if (e.Net != 0) != c.net {
				t.Errorf("net rights %x", e.Net)
			}
			if err := e.refusal(&c.policy); (err == nil) != (len(c.lost) == 0) {
				t.Errorf("refusal: %v", err)
			}
			relaxed := c.policy
			relaxed.BestEffort = true
			if err := e.refusal(&relaxed); err != nil {
				t.Errorf("best effort: %v", err)
			}
			for _, lost := range e.Lost {
				if !strings.Contains(e.level(&relaxed), lost) {
					t.Errorf("level %q does not name %q", e.level(&relaxed), lost)
				}
			}
		})
	}
}

// A limit that nothing enforces is refused, whatever the profile, or named.
func TestLimitsNeedCgroups(t *testing.T) {
	for _, profile := range []Profile{ProfileOff, ProfileWorkspace} {
		for name, limits := range map[string]Limits{"memory": {Memory: 1 << 20}, "pids": {Pids: 1}, "cpu": {CPU: 0.5}} {
			p := &Policy{Profile: profile, Limits: limits, BestEffort: true}
			if e := enforce(p, Host{ABI: 7, Controllers: []string{"cpu", "memory", "pids"}}); len(e.Lost) > 0 || e.Limits != limits {
				t.Errorf("%s with its controller: %+v", name, e)
			}
			e := enforce(p, Host{ABI: 7})
			if !strings.Contains(e.level(p), "limits."+name+" (no cgroup here has the "+name+" controller)") || e.Limits != (Limits{}) {
				t.Errorf("%s is lost, and the level is %q", name, e.level(p))
			}
			p.BestEffort = false
			if err := e.refusal(p); err == nil || !strings.Contains(err.Error(), "limits."+name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The defaults give reasons, and no rule that writes but on devices.
func TestSystemRules(t *testing.T) {
	for _, r := range systemRules {
		if r.why == "" || !strings.HasPrefix(r.path, "/") {
			t.Errorf("%+v", r)
		}
		if r.rights&^uint64(execTree) != 0 && !strings.HasPrefix(r.path, "/dev/") {
			t.Errorf("%s may be changed", r.path)
		}
	}
}

// The launcher's own files stay apart from what a policy opens.
func TestApart(t *testing.T) {
	at := &Places{Home: "/var/lib/al/agents/a/home", Tmp: "/var/lib/al/agents/a/tmp", Private: []string{"/var/lib/al", "/etc/al/token"}}
	for path, ok := range map[string]bool{
		"/srv/work": true, "/var/lib/al/agents/a/home/x": true, "/var/lib/al-other": true, "/etc/al/other": true,
		"/": false, "/var": false, "/var/lib/al": false, "/var/lib/al/runs": false, "/var/lib/al/agents/b/home": false,
		"/etc/al": false, "/etc/al/token": false, "/var/lib/al/agents/a/home/../../b": false,
	} {
		if err := apart(path, at); (err == nil) != ok {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A filter is assembled for every shape of policy, small enough for the kernel
// and the same each time.
func TestFilter(t *testing.T) {
	for _, p := range []Policy{
		{Profile: ProfileWorkspace}, {Profile: ProfileStrict}, {Profile: ProfileWorkspace, UnixSockets: true},
		{Profile: ProfileWorkspace, UserNamespaces: true}, {Profile: ProfileStrict, ConnectTCP: []uint16{443}},
	} {
		a, err := filter(&p)
		if err != nil || len(a) == 0 || len(a)%8 != 0 || len(a)/8 > 4096 {
			t.Errorf("%+v: %d bytes, %v", p, len(a), err)
		}
		if b, _ := filter(&p); string(a) != string(b) {
			t.Errorf("%+v: two filters differ", p)
		}
	}
	if f, err := filter(&Policy{Profile: ProfileOff}); f != nil || err != nil {
		t.Errorf("off: %d bytes, %v", len(f), err)
	}
}
