package sandbox

import (
	"fmt"
	"os"
	"strings"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// confined is a policy in the kernel's terms, for one launch.
type confined struct {
	user    *wire.User
	ruleset *os.File // Landlock; nil: none
	home    uint64   // Landlock rights on HOME and on TMPDIR, which the keeper makes
	tmp     uint64
	filter  []byte // seccomp; nil: none
	limits  Limits // those that a cgroup enforces
	level   string // for status
}

// confine prepares everything that the stage will only have to switch on. It
// fails if the kernel cannot enforce what the policy asks for.
func confine(p *Policy, at *Places, programs []programRule, h Host, known *filters) (*confined, error) {
	switch p.Profile {
	case ProfileWorkspace, ProfileStrict, ProfilePlugin, ProfileOff:
	default:
		return nil, fmt.Errorf("the policy has no profile") // never off by forgetting it
	}
	e := enforce(p, h)
	if err := e.refusal(p); err != nil {
		return nil, err
	}
	c := &confined{user: p.User.wire(), limits: e.Limits, level: e.level(p)}
	if p.Profile == ProfileOff {
		return c, nil
	}
	var err error
	if c.filter, err = known.of(p); err != nil {
		return nil, err
	}
	if e.FS|e.Net|e.Scop != 0 { // a kernel without Landlock has no rulesets
		c.ruleset, err = ruleset(p, &e, at, programs)
		c.home, c.tmp = ownRights(p, at, e.FS)
	}
	return c, err
}

func (c *confined) close() {
	if c.ruleset != nil {
		_ = c.ruleset.Close()
	}
}

// Host is what there is to enforce a policy with.
type Host struct {
	ABI         int      // of Landlock; 0: none
	Controllers []string // of cgroups: memory, pids, cpu
	Cgroup      bool     // whether each agent has a cgroup, by which its tree is killed
	NoCgroup    string   // why not
	Switch      bool     // whether agents may run as users of their own
	UID         uint32   // of agents that do not
	First, Last uint32   // the keeper's uid range; 0: it has none

	known bool
}

// Unknown reports whether h is of no keeper that was asked.
func (h Host) Unknown() bool { return !h.known }

// host is this kernel with this keeper.
func (k *Keeper) host() Host {
	h := &k.hello
	return Host{ABI: landlockABI(), Controllers: h.Controllers, Cgroup: h.Cgroup != "", NoCgroup: h.NoCgroup, Switch: h.Switch, UID: h.UID, First: h.First, Last: h.Last, known: true}
}

// KernelAlone is this kernel without a keeper that was asked: nobody knows of
// cgroups and users.
func KernelAlone() Host {
	return Host{ABI: landlockABI(), NoCgroup: "no keeper to ask", UID: uint32(os.Geteuid())}
}

// Host says what this host can enforce.
func (k *Keeper) Host() Host { return k.host() }

// String is for check and status.
func (h Host) String() string {
	if h.Unknown() {
		return "unknown: the keeper is in use by the daemon, whose status says it"
	}
	e := enforce(&Policy{Profile: ProfileWorkspace}, h)
	parts := []string{e.level(&Policy{Profile: ProfileWorkspace})}
	if len(h.Controllers) > 0 {
		parts = append(parts, "limits of "+strings.Join(h.Controllers, ", "))
	}
	if h.NoCgroup != "" {
		parts = append(parts, "no cgroups: "+h.NoCgroup)
	}
	if h.Switch {
		parts = append(parts, "agents may have users of their own")
	} else {
		parts = append(parts, fmt.Sprintf("all agents run as uid %d", h.UID))
	}
	return strings.Join(parts, "; ")
}
