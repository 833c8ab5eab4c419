package plugins

import (
	"context"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// connections keeps go-plugin's gRPC connections in bounds. They are made
// inside of go-plugin, so an interceptor is where we meet them.
type connections struct {
	gone context.Context // ends with the plugin's process

	mu  sync.Mutex
	all []*grpc.ClientConn
}

func (c *connections) dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(adapter.MaxMessageSize),
			grpc.MaxCallSendMsgSize(adapter.MaxMessageSize)),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: startTimeout}),
		grpc.WithIdleTimeout(0), // never reconnect: the socket's file is gone
		grpc.WithStreamInterceptor(c.stream),
	}
}

// stream refuses go-plugin's broker, through which a plugin could make the
// daemon keep one entry in memory per message, without a limit. The one other
// stream, the plugin's output, ends with the process: go-plugin opens it while
// holding the lock that it needs to notice the end, so that a connection held
// by a child of the plugin would keep it waiting.
func (c *connections) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	c.add(cc)
	if strings.HasPrefix(method, "/plugin.GRPCBroker/") {
		return nil, status.Error(codes.Unimplemented, "no broker")
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(c.gone, cancel)
	return open(ctx, desc, cc, method, opts...)
}

// add remembers cc: when the plugin dies at the wrong moment of the start,
// go-plugin drops a connection without closing it.
func (c *connections) add(cc *grpc.ClientConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.all, cc) {
		c.all = append(c.all, cc)
	}
}

func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cc := range c.all {
		_ = cc.Close() // closed twice is an error without meaning
	}
}
