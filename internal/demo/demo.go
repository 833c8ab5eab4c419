package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// demo is the state that its steps hand on.
type demo struct {
	dir     string // everything is below it
	bin     string // dir/bin, the programs
	out     *printer
	secrets []*secret
	api     *client

	controlPlane, daemon *process
	plugin               int // pid
	agentID, companyID   string
	host                 hostReply
}

// The agent's two variables: one follows its secret, one stays where it is.
const (
	latestName = "DEMO_TOKEN"
	pinnedName = "DEMO_PINNED"
	agentName  = "demo"
)

func newDemo(dir, bin string, out *printer) (*demo, error) {
	d := &demo{dir: dir, bin: filepath.Join(dir, "bin"), out: out}
	for _, name := range []string{latestName, pinnedName} {
		d.secrets = append(d.secrets, newSecret(name))
	}
	for _, sub := range []string{"log", "host", "host/adapters.d", "host/state", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, err
		}
	}
	// Installed like a package, not run in place: in a clone made with a umask
	// of 002 others can write the programs, and the launcher refuses those.
	if err := os.CopyFS(d.bin, os.DirFS(bin)); err != nil {
		return nil, fmt.Errorf("cannot install the programs, see `make demo`: %v", err)
	}
	return d, nil
}

// run is the demo from top to bottom.
func (d *demo) run(ctx context.Context) error {
	began := time.Now()
	d.out.title("agent-launcher demo: a sealed secret from the control plane into an agent process")
	for _, step := range []func(context.Context) error{
		d.startControlPlane,
		d.createSecrets,
		d.enrolHost,
		d.startDaemon,
		d.firstRun,
		d.rotate,
		d.scanMemory,
		d.stop,
		d.scanFiles,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.out.title(fmt.Sprintf("all held, in %.1f s", time.Since(began).Seconds()))
	return nil
}
