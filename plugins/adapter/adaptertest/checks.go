package adaptertest

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

func (k *kit) describe() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := k.client.Describe(ctx, &adapterpb.DescribeRequest{})
	switch {
	case err != nil:
		k.fault("Describe did not answer: %s", reason(err))
		return
	case len(d.GetProblems()) > 0:
		k.fault("Describe reports a problem: %s", d.GetProblems()[0].GetMessage())
		return
	case !regexp.MustCompile(`^[a-z0-9_]{1,64}$`).MatchString(d.GetType()):
		k.fault("type %q does not match [a-z0-9_]{1,64}", d.GetType())
	case k.typ != "" && d.GetType() != k.typ:
		k.fault("type is %q, and the file's name %q", d.GetType(), k.typ)
	}
	if d.GetVersion() == "" {
		k.fault("version is empty")
	}
	k.schema, k.can = d.GetSchema(), d.GetCan()
	if _, err := k.compile(); err != nil {
		k.fault("schema is no JSON Schema object: %v", err)
	}
}

// compile reads the schema without a loader: it cannot refer to files.
func (k *kit) compile() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(k.schema))
	if err != nil {
		return nil, err
	}
	if _, ok := doc.(map[string]any); !ok {
		return nil, fmt.Errorf("it is a %T", doc)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	if err := c.AddResource("urn:schema", doc); err != nil {
		return nil, err
	}
	return c.Compile("urn:schema")
}

func (k *kit) eachCase() {
	if len(k.planned()) == 0 {
		k.fault("no case without Problems: there is nothing to derive others from")
	}
	schema, err := k.compile()
	for i, c := range k.cases {
		what := c.name(i)
		reply := k.ask(what, c.request())
		if reply == nil {
			continue
		}
		var fields []string
		for _, p := range reply.GetProblems() {
			fields = append(fields, p.GetField())
		}
		want := slices.Sorted(slices.Values(c.Problems))
		if slices.Sort(fields); !slices.Equal(fields, want) {
			k.fault("%s: problems of %q, want %q: %v", what, fields, want, reply.GetProblems())
			continue
		}
		if c.Plan != nil && len(fields) == 0 && !proto.Equal(plain(reply.GetPlan()), wire(c.Plan)) {
			k.fault("%s: plans %v, want %v", what, plain(reply.GetPlan()), wire(c.Plan))
		}
		if value, unreadable := jsonschema.UnmarshalJSON(strings.NewReader(c.Config)); err == nil && len(fields) == 0 {
			if unreadable != nil || schema.Validate(value) != nil {
				k.fault("%s: it is planned, and its own schema refuses it", what)
			}
		}
	}
}

// wire is p without Carry, which is the adapter's own affair.
func wire(p *adapter.Plan) *adapterpb.Plan {
	return &adapterpb.Plan{Argv: p.Argv, Dir: p.Dir, Env: p.Env, Stdin: p.Stdin,
		Needs:     &adapterpb.Needs{Read: p.Needs.Read, Write: p.Needs.Write, Exec: p.Needs.Exec, Network: p.Needs.Network},
		TimeoutMs: uint64(p.Timeout / time.Millisecond)}
}

// plain is p as wire makes it.
func plain(p *adapterpb.Plan) *adapterpb.Plan {
	out := proto.CloneOf(p)
	if out.Carry = nil; out.Needs == nil {
		out.Needs = &adapterpb.Needs{}
	}
	return out
}

func (k *kit) deterministic() {
	for i, c := range k.cases {
		first := k.ask(c.name(i), c.request())
		for range 10 {
			if again := k.ask(c.name(i), c.request()); first != nil && again != nil && !proto.Equal(first, again) {
				k.fault("%s: one request, two answers: %v and %v", c.name(i), first, again)
				break
			}
		}
	}
}

// total: there is an answer to whatever an operator may write.
func (k *kit) total() {
	for _, c := range k.planned() {
		for _, config := range mutations(c.Config) {
			odd := c
			odd.Config = config
			if k.ask(c.Name+" with "+short(config), odd.request()) == nil {
				return // one is enough to mend, and hangs take long
			}
		}
		for _, r := range oddRequests(&c) {
			if k.ask(c.Name+" with an odd session, task or wake", r) == nil {
				return
			}
		}
	}
}

func short(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}

func (k *kit) concurrent() {
	const callers = 32
	var wg sync.WaitGroup
	var mu sync.Mutex
	quiet := *k
	quiet.fault = func(format string, args ...any) { mu.Lock(); defer mu.Unlock(); k.fault(format, args...) }
	for i, c := range k.cases {
		alone := quiet.ask(c.name(i), c.request())
		for range callers {
			wg.Go(func() {
				if reply := quiet.ask(c.name(i), c.request()); alone != nil && reply != nil && !proto.Equal(reply, alone) {
					quiet.fault("%s: another answer when several ask at a time", c.name(i))
				}
			})
		}
	}
	wg.Wait()
}

// large: up to the limit there is an answer, or the answer is too large.
func (k *kit) large() {
	for _, c := range k.planned()[:min(1, len(k.planned()))] {
		r := c.request()
		r.Env = map[string]string{}
		for i := range 60 { // an agent's variable has at most 64 KiB
			r.Env[fmt.Sprintf("LARGE_%d", i)] = strings.Repeat("x", 64<<10)
		}
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := k.client.Plan(ctx, r)
		cancel()
		if err != nil && status.Code(err) != codes.ResourceExhausted {
			k.fault("%s with %d bytes: Plan did not answer: %s", c.Name, proto.Size(r), reason(err))
		}
		k.ask(c.Name+" after a large one", c.request())
	}
}

func (k *kit) environment() {
	can := slices.Contains(k.can, adapter.CanTestEnvironment)
	for i, c := range k.cases {
		r := c.request()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		reply, err := k.client.TestEnvironment(ctx, &adapterpb.TestEnvironmentRequest{
			AgentId: r.AgentId, AgentName: r.AgentName, CompanyId: r.CompanyId, Config: r.Config, Env: r.Env, SecretNames: r.SecretNames})
		cancel()
		switch {
		case !can && status.Code(err) == codes.Unimplemented:
			return
		case !can:
			k.fault("it has TestEnvironment, and Describe does not say so: can lacks %q", adapter.CanTestEnvironment)
			return
		case err != nil:
			k.fault("%s: TestEnvironment did not answer: %s", c.name(i), reason(err))
		}
		for _, check := range reply.GetChecks() {
			if !slices.Contains([]string{"info", "warn", "error"}, check.GetLevel()) || check.GetMessage() == "" {
				k.fault("%s: a check of level %q and message %q", c.name(i), check.GetLevel(), check.GetMessage())
			}
		}
	}
}

// deadline: calls whose caller goes away end, and harm no other.
func (k *kit) deadline() {
	for i, c := range k.cases {
		for ms := range 8 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(ms)*time.Millisecond)
			_, _ = k.client.Plan(ctx, c.request()) // any answer will do
			cancel()
		}
		k.ask(c.name(i)+" after others were given up", c.request())
	}
	if err := k.end(); err != nil {
		k.fault("%v", err)
	}
}
