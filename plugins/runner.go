package plugins

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/hashicorp/go-plugin/runner"
)

// process is what go-plugin works with instead of its own os/exec: plugins are
// started by who starts agents, and confined like them.
var _ runner.Runner = (*process)(nil)

// Start implements runner.Runner.
func (p *process) Start(context.Context) error {
	return p.start()
}

// Wait implements runner.Runner. go-plugin calls it when it has read both
// pipes to their end.
func (p *process) Wait(context.Context) error {
	<-p.gone.Done()
	var err error
	if how := p.exitByItself(); how != "" && how != "exit status 0" {
		err = errors.New(how)
	}
	return errors.Join(err, p.stdout.Close(), p.stderr.Close())
}

// Kill implements runner.Runner.
func (p *process) Kill(context.Context) error {
	p.kill()
	return nil
}

// Diagnose implements runner.Runner. go-plugin calls it when the plugin closed
// its stdout without a word: most likely it is ending, so let it, and keep its
// own exit status from being hidden by our kill.
func (p *process) Diagnose(context.Context) string {
	_ = p.exit(exitPatience)
	return ""
}

// PluginToHost implements runner.Runner. The plugin says where it listens; the
// daemon connects to nothing but a socket in the directory made for it.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Dir(address) != p.socketDir {
		return "", "", errors.New("it listens elsewhere than it was told")
	}
	if info, err := os.Lstat(address); err != nil || info.Mode().Type() != os.ModeSocket {
		return "", "", errors.New("what it listens on is not a socket")
	}
	return network, address, nil
}

// HostToPlugin implements runner.Runner.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// ID implements runner.Runner. It is never empty: go-plugin takes that for
// "nothing to clean up".
func (p *process) ID() string { return strconv.Itoa(p.pid()) }

// Name implements runner.Runner.
func (p *process) Name() string { return p.image.path }

// Stdout implements runner.Runner.
func (p *process) Stdout() io.ReadCloser { return p.stdout }

// Stderr implements runner.Runner.
func (p *process) Stderr() io.ReadCloser { return p.stderr }
