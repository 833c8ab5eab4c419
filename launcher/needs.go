package launcher

import (
	"errors"
	"fmt"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// unmet says what a plan needs and the agent's policy denies: an adapter asks,
// and the operator's file alone gives.
func unmet(a *config.Agent, plan *adapter.Plan, p *planned, host sandbox.Host) error {
	n := &plan.Needs
	if len(n.Read)+len(n.Write)+len(n.Exec) == 0 && !n.Network {
		return nil
	}
	x := sandbox.Explain(*p.policy, p.spec.Places, plan.Argv[0], p.spec.Env["PATH"], host)
	var errs []error
	for _, need := range []struct {
		paths []string
		uses  []string
	}{{n.Read, []string{"read"}}, {n.Write, []string{"write", "create"}}, {n.Exec, []string{"execute"}}} {
		for _, path := range need.paths {
			errs = append(errs, denied(a, x.Path(path), need.uses))
		}
	}
	if n.Network && !x.Network.Open {
		errs = append(errs, fmt.Errorf("agent %s: its adapter needs the network, which its policy denies: list the ports in sandbox.connectTcp", a.Name))
	}
	return errors.Join(errs...)
}

// denied is an error if the policy denies one of the uses. A path that is not
// there is the agent's own problem, unless it is to be made.
func denied(a *config.Agent, v sandbox.Verdict, uses []string) error {
	for _, u := range v.Uses {
		for _, want := range uses {
			if u.Use != want || u.Allowed {
				continue
			}
			err := fmt.Errorf("agent %s: its adapter needs to %s %s, which is denied: %s", a.Name, want, v.Subject, u.Why)
			if u.Add != "" {
				err = fmt.Errorf("%w; to allow it, add %s to the agent's file", err, u.Add)
			}
			return err
		}
	}
	return nil
}
