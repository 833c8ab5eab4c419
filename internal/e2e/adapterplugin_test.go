//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// apartVar is set in a test that apart began again.
const apartVar = "E2E_APART"

// apart runs the test again in a network namespace of its own, with value in
// apartVar. Whatever a tool tries to reach there but the loopback does not exist.
func apart(t *testing.T, value string) {
	t.Helper()
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v"}
	if *recording {
		args = append(args, "-record")
	}
	again := exec.Command(os.Args[0], args...)
	again.Env = append(os.Environ(), apartVar+"="+value)
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		again.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		again.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		again.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	out, err := again.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("in a network namespace: %v", err)
	}
}

func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo)
}

// bare hands out the client that protoc made.
type bare struct{ plugin.NetRPCUnsupportedPlugin }

func (*bare) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return errors.New("serves nothing") }

func (*bare) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, conn *grpc.ClientConn) (any, error) {
	return adapterpb.NewAdapterClient(conn), nil
}

// startPlugin starts a bundled plugin without the daemon.
func startPlugin(t *testing.T, path string) adapterpb.AdapterClient {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = []string{plugin.EnvUnixSocketDir + "=" + shortDir(t)}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  adapter.Handshake(),
		Plugins:          plugin.PluginSet{adapter.ServiceName: &bare{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Cmd:              cmd,
		AutoMTLS:         true,
		SkipHostEnv:      true,
		Logger:           hclog.NewNullLogger(),
	})
	t.Cleanup(client.Kill)
	protocol, err := client.Client()
	must(t, err)
	conn, err := protocol.Dispense(adapter.ServiceName)
	must(t, err)
	return conn.(adapterpb.AdapterClient)
}

// shortDir is a directory whose name leaves room for that of a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "al-e2e-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// observe gives a plugin the output of a run and returns the outcome and the
// progress.
func observe(t *testing.T, client adapterpb.AdapterClient, start *adapterpb.ObserveStart, output []byte, exit *adapterpb.Exit) (*adapterpb.Outcome, []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	stream, err := client.Observe(ctx)
	must(t, err)
	must(t, stream.Send(&adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Start{Start: start}}))
	must(t, stream.Send(&adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Output{Output: &adapterpb.Output{Data: output}}}))
	must(t, stream.Send(&adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Exit{Exit: exit}}))
	must(t, stream.CloseSend())
	var outcome *adapterpb.Outcome
	var progress []string
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return outcome, progress
		}
		must(t, err)
		if m.GetOutcome() != nil {
			outcome = m.GetOutcome()
		} else {
			progress = append(progress, m.GetProgress().GetText())
		}
	}
}

// carryOut does what the launcher does with a plan, but for the sandbox: the
// key is in the environment, HOME is the agent's own, TMPDIR the run's.
func carryOut(t *testing.T, plan *adapterpb.Plan, home string, secrets map[string]string, kill <-chan struct{}) ([]byte, *adapterpb.Exit) {
	t.Helper()
	tmp := shortDir(t)
	cmd := exec.Command(plan.GetArgv()[0], plan.GetArgv()[1:]...)
	cmd.Dir, cmd.Stdin = plan.GetDir(), bytes.NewReader(plan.GetStdin())
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + tmp, "LANG=C.UTF-8"}
	for name, value := range plan.GetEnv() {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	for name, value := range secrets {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 10 * time.Second
	must(t, cmd.Start())
	done := make(chan struct{})
	go func() {
		select {
		case <-kill:
		case <-time.After(60 * time.Second):
		case <-done:
			return
		}
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
	}()
	_ = cmd.Wait()
	close(done)
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return out.Bytes(), &adapterpb.Exit{Signal: int32(status.Signal())}
	}
	return out.Bytes(), &adapterpb.Exit{Code: int32(status.ExitStatus())}
}
