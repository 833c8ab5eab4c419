package adaptertest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// patience is what the daemon has with a call.
const patience = 10 * time.Second

func limits() grpc.DialOption {
	return grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(adapter.MaxMessageSize))
}

// serve puts real gRPC between the kit and an adapter in this process. The
// function that it returns says what still went on for so long after all calls
// were over.
func serve(a adapter.Adapter, wait time.Duration) (adapterpb.AdapterClient, func() error) {
	s, l := adapter.NewServer(a), bufconn.Listen(1<<20)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:adapter", limits(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		panic(err) // of options that are constant
	}
	return adapterpb.NewAdapterClient(conn), func() error {
		_ = conn.Close() // ends what the calls below wait for
		stopped := make(chan struct{})
		go func() { s.GracefulStop(); close(stopped) }()
		select {
		case <-stopped:
			return <-served
		case <-time.After(wait):
			return errors.New("a call goes on although its caller has given it up: Plan must end with its context")
		}
	}
}

// start starts a plugin as the daemon does.
func start(t *testing.T, path string) (adapterpb.AdapterClient, func() error, error) {
	dir, err := os.MkdirTemp("", "adaptertest") // t.TempDir may be too long for a socket
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cmd := exec.Command(path)
	cmd.Args[0], cmd.Dir = filepath.Base(path), "/"
	cmd.Env = []string{plugin.EnvUnixSocketDir + "=" + dir} // go-plugin sets it only for runners of its caller
	said := &lines{}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  adapter.Handshake(),
		Plugins:          plugin.PluginSet{adapter.ServiceName: &bare{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Cmd:              cmd,
		AutoMTLS:         true,
		SkipHostEnv:      true,
		StartTimeout:     patience,
		GRPCDialOptions:  []grpc.DialOption{limits()},
		Logger:           hclog.NewNullLogger(),
		Stderr:           said,
	})
	t.Cleanup(client.Kill)
	protocol, err := client.Client()
	if err != nil {
		return nil, nil, fmt.Errorf("%w\n%s", err, said)
	}
	conn, err := protocol.Dispense(adapter.ServiceName)
	if err != nil {
		return nil, nil, err
	}
	return conn.(adapterpb.AdapterClient), func() error {
		if client.Exited() {
			return fmt.Errorf("it ended during the tests\n%s", said)
		}
		return nil
	}, nil
}

// lines keeps the end of what a plugin prints, for when it fails.
type lines struct {
	mu   sync.Mutex
	tail []byte
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.tail)
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tail = append(l.tail, p...)
	l.tail = l.tail[max(0, len(l.tail)-4096):]
	return len(p), nil
}

// bare hands out the client that protoc made.
type bare struct{ plugin.NetRPCUnsupportedPlugin }

func (*bare) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return errors.New("serves nothing") }

func (*bare) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return adapterpb.NewAdapterClient(conn), nil
}
