package plugins

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

const (
	startTimeout = 10 * time.Second // fork to first answer; usually 40 ms
	closeGrace   = 2 * time.Second  // for a plugin to end by itself
	probeTimeout = 2 * time.Second  // for a sign of life
	exitPatience = 2 * time.Second  // between a broken connection and the keeper's word that the plugin ended

	healthInterval = 30 * time.Second // between two questions whether it lives
)

// instance is one process of a plugin and the connection to it.
type instance struct {
	proc   *process
	client *plugin.Client
	sum    [sha256.Size]byte // of its program
	conns  connections
	stderr tail // what it printed last; read after close

	rpc     adapterpb.AdapterClient
	health  healthpb.HealthClient
	probing atomic.Bool

	// Guarded by the host's lock:
	calls   int           // under way
	retired bool          // takes no more calls
	idle    chan struct{} // closed when retired and calls is 0
}

// newInstance starts nothing.
func newInstance(img *image, opts *Options) *instance {
	name, log := img.name, bounded(opts.Log)
	i := &instance{proc: newProcess(img, opts.Start), sum: img.sum, idle: make(chan struct{})}
	i.conns.gone = i.proc.gone
	i.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  adapter.Handshake(),
		Plugins:          plugin.PluginSet{adapter.ServiceName: &grpcPlugin{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
			i.proc.env, i.proc.socketDir = cmd.Env, socketDir
			return i.proc, nil
		},
		AutoMTLS:            true,
		SkipHostEnv:         true,
		StartTimeout:        opts.startTimeout,
		UnixSocketConfig:    &plugin.UnixSocketConfig{TempDir: opts.RuntimeDir},
		GRPCDialOptions:     i.conns.dialOptions(),
		Logger:              newLogger(name, log),
		PluginLogBufferSize: maxLine,
		Stderr:              &i.stderr,
		SyncStdout:          &lines{plugin: name, log: log},
		SyncStderr:          &lines{plugin: name, log: log},
	})
	return i
}

// connect starts the process and returns when it has answered, or will not.
func (i *instance) connect(ctx context.Context) error {
	// go-plugin waits for some answers without a limit: end what it waits for.
	stop := context.AfterFunc(ctx, i.proc.kill)
	defer stop()
	protocol, err := i.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(adapter.ServiceName)
	if err != nil {
		return err
	}
	conn, ok := raw.(*grpc.ClientConn)
	if !ok {
		return errors.New("no connection") // GRPCClient below returns nothing else
	}
	i.rpc, i.health = adapterpb.NewAdapterClient(conn), healthpb.NewHealthClient(conn)
	if err := i.ping(ctx); err != nil {
		return err
	}
	// One connection is all there will be, so nobody else needs the socket,
	// and a daemon that is killed leaves no file behind. What a neighbour may have
	// put beside it is not ours to remove.
	_ = os.RemoveAll(i.proc.socketDir)
	return nil
}

// ping asks for a sign of life.
func (i *instance) ping(ctx context.Context) error {
	_, err := i.health.Check(ctx, &healthpb.HealthCheckRequest{Service: plugin.GRPCServiceName})
	return err
}

// close ends the process, politely for closeGrace, and returns when everything
// that belonged to it is gone. It is safe at any time, and once.
func (i *instance) close() {
	// go-plugin's Kill waits for an answer to Shutdown without a limit. The end
	// of the process ends that, too.
	timer := time.AfterFunc(closeGrace, i.proc.kill)
	defer timer.Stop()
	i.client.Kill()
	i.conns.close()
	if i.proc.socketDir != "" {
		_ = os.RemoveAll(i.proc.socketDir)
	}
}

// grpcPlugin hands out the bare connection: the host reads what comes over it
// itself.
type grpcPlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (*grpcPlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("the host serves nothing")
}

func (*grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return conn, nil
}
