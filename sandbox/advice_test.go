package sandbox_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

// A denial says what to add, and that helps; or that nothing will, and why.
func TestAdvice(t *testing.T) {
	h := &host{dir: publicDir(t)}
	check(t, os.WriteFile(filepath.Join(h.dir, "host.key"), nil, 0o600))
	places := scenery(t, h)
	at := func(name string) string { return filepath.Join(h.dir, name) }
	policy := sandbox.Policy{Profile: sandbox.ProfileWorkspace, Read: []string{"/usr/share"}, ConnectTCP: []uint16{5432}}
	x := sandbox.Explain(policy, places, "/bin/true", "", sandbox.KernelAlone())
	for _, c := range []struct {
		use, path string
		add, why  string // an empty add: never
	}{
		{"read", at("outside/file"), `"sandbox": {"read": ["/usr/share", "` + at("outside/file") + `"]}`, "no rule opens it"},
		{"read", at("work/link"), `"sandbox": {"read": ["/usr/share", "` + at("outside/file") + `"]}`, "no rule opens it"},
		{"write", at("outside"), `"sandbox": {"write": ["` + at("outside") + `"]}`, "no rule opens it"},
		{"create", at("outside/new"), `"sandbox": {"write": ["` + at("outside") + `"]}`, "no rule opens it"},
		{"execute", at("outside/program"), `"sandbox": {"exec": ["` + at("outside/program") + `"]}`, "no rule opens it"},
		{"write", "/usr/share", `"sandbox": {"write": ["/usr/share"]}`, "gives only read"},
		{"connect", at("socket"), `"sandbox": {"unixSockets": true}`, "no unix sockets"},
		{"connect", ":443", `"sandbox": {"connectTcp": [5432, 443]}`, "does not name it"},
		{"read", at("state/secret"), "", "the launcher's own"},
		{"read", at("host.key"), "", "the launcher's own"},
		{"read", at("state/agents/b/home/file"), "", "another agent's own"},
		{"read", at("state/agents/b"), "", "another agent's own"},
		{"read", at("state/agents"), "", "the launcher's own"},
		{"read", "/", "", "open what is needed in it, by name"},
		{"read", "/proc/1/environ", "", "lets none be traced"},
	} {
		u := ask(t, x, c.use, c.path)
		if u.Allowed || u.Add != c.add || u.Never != (c.add == "") || !strings.Contains(u.Why, c.why) {
			t.Errorf("%s %s: %+v", c.use, c.path, u)
		}
		if c.add != "" {
			if u := ask(t, sandbox.Explain(adding(t, policy, c.add), places, "/bin/true", "", sandbox.KernelAlone()), c.use, c.path); !u.Allowed && strings.Contains(u.Why, c.why) {
				t.Errorf("%s %s: %s does not help: %+v", c.use, c.path, c.add, u)
			}
		}
	}
	for path, problem := range map[string]string{at("nowhere"): "no such file", at("state/x"): "the launcher's own", "/": "the launcher's own"} {
		policy.Write = []string{path}
		if x := sandbox.Explain(policy, places, "", "", sandbox.KernelAlone()); !strings.Contains(strings.Join(x.Problems, "\n"), problem) {
			t.Errorf("%s: %q", path, x.Problems)
		}
	}
}

func ask(t *testing.T, x *sandbox.Explained, use, subject string) sandbox.Use {
	t.Helper()
	v := x.Path(subject)
	if port, ok := strings.CutPrefix(subject, ":"); ok {
		v = x.Port(uint16(atoi(port)))
	}
	i := slices.IndexFunc(v.Uses, func(u sandbox.Use) bool { return u.Use == use })
	if i < 0 {
		t.Fatalf("%s: nothing about %s: %+v", subject, use, v)
	}
	return v.Uses[i]
}

// adding is the policy with the advised line in its file.
func adding(t *testing.T, p sandbox.Policy, line string) sandbox.Policy {
	t.Helper()
	var file struct {
		Sandbox struct {
			Read, Write, Exec []string
			ConnectTCP        []uint16
			UnixSockets       bool
		}
	}
	check(t, json.Unmarshal([]byte("{"+line+"}"), &file))
	s := file.Sandbox
	for _, list := range []struct {
		to   *[]string
		from []string
	}{{&p.Read, s.Read}, {&p.Write, s.Write}, {&p.Exec, s.Exec}} {
		if list.from != nil {
			*list.to = list.from
		}
	}
	if s.ConnectTCP != nil {
		p.ConnectTCP = s.ConnectTCP
	}
	p.UnixSockets = p.UnixSockets || s.UnixSockets
	return p
}
