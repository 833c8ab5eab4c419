package adapter

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// server translates between the wire and an Adapter.
type server struct {
	adapterpb.UnimplementedAdapterServer
	adapter Adapter
}

func (s *server) Describe(ctx context.Context, _ *adapterpb.DescribeRequest) (*adapterpb.DescribeResponse, error) {
	d, err := s.adapter.Describe(ctx)
	if err != nil {
		return &adapterpb.DescribeResponse{Problems: problems(err)}, nil
	}
	reply := &adapterpb.DescribeResponse{Type: d.Type, Version: d.Version, Schema: d.Schema}
	if _, ok := s.adapter.(EnvironmentTester); ok {
		reply.Can = append(reply.Can, CanTestEnvironment)
	}
	if _, ok := s.adapter.(Observer); ok {
		reply.Can = append(reply.Can, CanObserve)
	}
	return reply, nil
}

func (s *server) Plan(ctx context.Context, r *adapterpb.PlanRequest) (*adapterpb.PlanResponse, error) {
	p, err := s.adapter.Plan(ctx, PlanRequest{
		AgentID:     r.GetAgentId(),
		AgentName:   r.GetAgentName(),
		CompanyID:   r.GetCompanyId(),
		RunID:       r.GetRunId(),
		Trigger:     r.GetTrigger(),
		Config:      r.GetConfig(),
		Env:         r.GetEnv(),
		SecretNames: r.GetSecretNames(),
		Task:        r.GetTask(),
		Wake:        r.GetWake(),
		Session:     sessionFrom(r.GetSession()),
	})
	if err != nil {
		return &adapterpb.PlanResponse{Problems: problems(err)}, nil
	}
	return &adapterpb.PlanResponse{Plan: &adapterpb.Plan{
		Argv: p.Argv, Dir: p.Dir, Env: p.Env, Stdin: p.Stdin, Carry: p.Carry,
		Needs:     needsTo(p.Needs),
		TimeoutMs: uint64(max(p.Timeout, 0) / time.Millisecond),
	}}, nil
}

func needsTo(n Needs) *adapterpb.Needs {
	if len(n.Read)+len(n.Write)+len(n.Exec) == 0 && !n.Network {
		return nil
	}
	return &adapterpb.Needs{Read: n.Read, Write: n.Write, Exec: n.Exec, Network: n.Network}
}

func sessionFrom(s *adapterpb.Session) *Session {
	if s == nil {
		return nil
	}
	return &Session{ID: s.GetId(), State: s.GetState()}
}

func sessionTo(s *Session) *adapterpb.Session {
	if s == nil {
		return nil
	}
	return &adapterpb.Session{Id: s.ID, State: s.State}
}

func (s *server) TestEnvironment(ctx context.Context, r *adapterpb.TestEnvironmentRequest) (*adapterpb.TestEnvironmentResponse, error) {
	tester, ok := s.adapter.(EnvironmentTester)
	if !ok {
		return s.UnimplementedAdapterServer.TestEnvironment(ctx, r)
	}
	checks, err := tester.TestEnvironment(ctx, EnvironmentRequest{
		AgentID:     r.GetAgentId(),
		AgentName:   r.GetAgentName(),
		CompanyID:   r.GetCompanyId(),
		Config:      r.GetConfig(),
		Env:         r.GetEnv(),
		SecretNames: r.GetSecretNames(),
	})
	reply := &adapterpb.TestEnvironmentResponse{}
	for _, c := range checks {
		reply.Checks = append(reply.Checks, &adapterpb.Check{Level: string(c.Level), Field: c.Field, Message: c.Message, Hint: c.Hint})
	}
	if err != nil {
		for _, p := range problems(err) {
			reply.Checks = append(reply.Checks, &adapterpb.Check{Level: string(LevelError), Field: p.Field, Message: p.Message, Hint: p.Hint})
		}
	}
	return reply, nil
}

// problems flattens err: every *Problem in it, and the text of the rest.
func problems(err error) []*adapterpb.Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []*adapterpb.Problem
		for _, e := range joined.Unwrap() {
			out = append(out, problems(e)...)
		}
		return out
	}
	if p, ok := err.(*Problem); ok {
		return []*adapterpb.Problem{{Field: p.Field, Message: p.Message, Hint: p.Hint}}
	}
	return []*adapterpb.Problem{{Message: err.Error()}}
}

// guard turns a panic into an error of the call that caused it. The stack goes
// to the log.
func guard(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if v := recover(); v != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", v, debug.Stack())
			resp, err = nil, status.Errorf(codes.Internal, "the adapter panicked: %v", v)
		}
	}()
	return handle(ctx, req)
}
