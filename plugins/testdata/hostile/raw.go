package main

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// raw is a plugin without the SDK and its limits.
type raw struct {
	plugin.NetRPCUnsupportedPlugin
	adapterpb.UnimplementedAdapterServer
	plan func() *adapterpb.Plan
}

func (r *raw) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	adapterpb.RegisterAdapterServer(s, r)
	return nil
}

func (r *raw) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a server")
}

// Plan answers without a look at the request.
func (r *raw) Plan(context.Context, *adapterpb.PlanRequest) (*adapterpb.PlanResponse, error) {
	return &adapterpb.PlanResponse{Plan: r.plan()}, nil
}

// serveBig makes a plugin that answers with 100 MB.
func serveBig() {
	r := &raw{plan: func() *adapterpb.Plan { return &adapterpb.Plan{Stdin: make([]byte, 100<<20)} }}
	serve(r, grpc.MaxSendMsgSize(math.MaxInt32))
}

// serveMute makes a plugin that takes calls, go-plugin's Shutdown and health
// check too, and answers none.
func serveMute() {
	serve(&raw{}, grpc.UnaryInterceptor(
		func(context.Context, any, *grpc.UnaryServerInfo, grpc.UnaryHandler) (any, error) {
			forever()
			return nil, nil
		}))
}

// serveStreams makes a plugin that answers with the streams that the host has
// opened.
func serveStreams() {
	var mu sync.Mutex
	argv := []string{"streams"}
	r := &raw{plan: func() *adapterpb.Plan {
		mu.Lock()
		defer mu.Unlock()
		return &adapterpb.Plan{Argv: argv, Dir: "/"}
	}}
	serve(r, grpc.StreamInterceptor(func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		mu.Lock()
		argv = append(argv, info.FullMethod)
		mu.Unlock()
		return handle(srv, s)
	}))
}

func serve(r *raw, extra ...grpc.ServerOption) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: adapter.Handshake(),
		Plugins:         plugin.PluginSet{adapter.ServiceName: r},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, extra...)...)
		},
	})
}
