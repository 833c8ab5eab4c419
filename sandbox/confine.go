package sandbox

import (
	"fmt"
	"os"
)

// confined is a policy in the kernel's terms, for one launch.
type confined struct {
	ruleset *os.File // Landlock; nil: none
	filter  []byte   // seccomp; nil: none
	level   string   // for status
}

// confine prepares everything that the stage will only have to switch on. It
// fails if the kernel cannot enforce what the policy asks for.
func confine(p *Policy, at *Places, programs []string) (*confined, error) {
	if p.Profile != ProfileWorkspace && p.Profile != ProfileStrict && p.Profile != ProfileOff {
		return nil, fmt.Errorf("the policy has no profile") // never off by forgetting it
	}
	e := enforcement(p)
	if err := e.refusal(p); err != nil {
		return nil, err
	}
	c := &confined{level: e.level(p)}
	if p.Profile == ProfileOff {
		return c, nil
	}
	var err error
	if c.filter, err = filter(p); err != nil {
		return nil, err
	}
	if e.FS|e.Net|e.Scop != 0 { // a kernel without Landlock has no rulesets
		c.ruleset, err = ruleset(p, &e, at, programs)
	}
	return c, err
}

// enforcement is what this host enforces of a policy.
func enforcement(p *Policy) Enforcement {
	e := enforce(p, landlockABI())
	for _, name := range p.Limits.Cgroup() { // never accepted and ignored
		e.Lost = append(e.Lost, "sandbox.limits."+name+" (cgroup)")
	}
	return e
}

func (c *confined) close() {
	if c.ruleset != nil {
		_ = c.ruleset.Close()
	}
}

// Kernel says what this kernel can enforce for an agent of profile workspace.
func Kernel() string {
	p := &Policy{Profile: ProfileWorkspace}
	e := enforce(p, landlockABI())
	return e.level(p)
}
