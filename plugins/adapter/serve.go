package adapter

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// MaxMessageSize bounds a message of either direction, in bytes.
const MaxMessageSize = 4 << 20

// ServiceName is the name under which go-plugin serves the adapter.
const ServiceName = "adapter"

// Handshake is what daemon and plugin must agree on before they speak. The
// cookie is no secret: it tells a person who starts a plugin by hand that it
// is one.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{
		ProtocolVersion:  1,
		MagicCookieKey:   "AGENT_LAUNCHER_ADAPTER",
		MagicCookieValue: "agent-launcher-adapter-1",
	}
}

// Serve is the whole main of a plugin: it answers the daemon until that ends
// the plugin. What the adapter prints goes to the daemon's log, a line at a
// time.
func Serve(a Adapter) {
	// The daemon runs a copy in memory, after which the kernel names us.
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0) // for ps alone
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake(),
		Plugins:         plugin.PluginSet{ServiceName: &grpcPlugin{adapter: a}},
		GRPCServer:      newServer,
	})
}

// NewServer is what Serve serves, without the process around it: for tests.
func NewServer(a Adapter) *grpc.Server {
	s := newServer(nil)
	adapterpb.RegisterAdapterServer(s, &server{adapter: a})
	return s
}

func newServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts,
		grpc.MaxRecvMsgSize(MaxMessageSize),
		grpc.MaxSendMsgSize(MaxMessageSize),
		grpc.UnaryInterceptor(guard),
		grpc.StreamInterceptor(guardStream))...)
}

// grpcPlugin registers the adapter with go-plugin.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	adapter Adapter
}

func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	adapterpb.RegisterAdapterServer(s, &server{adapter: p.adapter})
	return nil
}

// GRPCClient is the daemon's half, which is not in the SDK.
func (p *grpcPlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("the SDK has no client")
}
