package adaptertest

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// kit is one run of the tests against one adapter.
type kit struct {
	client adapterpb.AdapterClient
	end    func() error // says what went wrong beside the calls
	cases  []Case
	typ    string // the type that it must have; empty: any
	fault  func(format string, args ...any)

	schema []byte // once it is described
	can    []string
}

// checks are the tests, in their order.
var checks = []struct {
	name string
	do   func(*kit)
}{
	{"Describe", (*kit).describe},
	{"Cases", (*kit).eachCase},
	{"Deterministic", (*kit).deterministic},
	{"Total", (*kit).total},
	{"Concurrent", (*kit).concurrent},
	{"Large", (*kit).large},
	{"Environment", (*kit).environment},
	{"Observe", (*kit).observe},
	{"Deadline", (*kit).deadline}, // the last: it ends the server
}

// secretName is a secret of every agent, so that its name in a plan tells.
const secretName = "ADAPTERTEST_SECRET"

func (c *Case) request() *adapterpb.PlanRequest {
	r := &adapterpb.PlanRequest{
		AgentId: "0197c0de-0000-7000-8000-00000000000a", AgentName: "agent", CompanyId: "0197c0de-0000-7000-8000-00000000000c",
		RunId: "0197c0de-0000-7000-8000-00000000000d", Trigger: "timer",
		Config: []byte(c.Config), Env: c.Env, SecretNames: append([]string{secretName}, c.Secrets...),
		Task: c.Task, Wake: []byte(c.Wake),
	}
	if c.Session != nil {
		r.Session = &adapterpb.Session{Id: c.Session.ID, State: c.Session.State}
	}
	return r
}

func (c *Case) name(i int) string {
	if c.Name != "" {
		return c.Name
	}
	return fmt.Sprintf("case %d", i)
}

// ask makes one call. Anything but an answer that keeps the rules is a fault,
// and gives nil.
func (k *kit) ask(what string, r *adapterpb.PlanRequest) *adapterpb.PlanResponse {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	reply, err := k.client.Plan(ctx, r)
	if err != nil {
		k.fault("%s: Plan did not answer: %s", what, reason(err))
		return nil
	}
	if !k.keepsRules(what, r, reply) {
		return nil
	}
	return reply
}

func reason(err error) string {
	s := status.Convert(err)
	switch s.Code() {
	case codes.DeadlineExceeded:
		return fmt.Sprintf("not within %v", patience)
	case codes.ResourceExhausted:
		return "a message above 4 MiB: " + s.Message()
	}
	return s.Message()
}

// planned are the cases that must be planned.
func (k *kit) planned() (out []Case) {
	for i, c := range k.cases {
		if c.Name = c.name(i); c.Problems == nil {
			out = append(out, c)
		}
	}
	return out
}
