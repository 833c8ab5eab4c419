// Command demo shows agent-launcher's main job on the real programs, each as a
// process of its own, on loopback and in a temporary directory:
//
//	demo [--bin DIR]
//
// DIR holds what `make build` makes; the default is the directory above the
// demo's own. It ends with 0 if everything held, and with 1, a reason and the
// log of the program at fault otherwise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// deadline ends a demo that hangs. One that works takes a few seconds.
const deadline = time.Minute

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	bin := flags.String("bin", "", "directory that `make build` filled")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	// Nothing that the demo writes is for anybody else, and the launcher
	// refuses what others could change.
	syscall.Umask(0o077)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()

	out := newPrinter(os.Stdout)
	if err := show(ctx, *bin, out); err != nil {
		fmt.Fprintln(os.Stderr, out.failed("demo: "+err.Error()))
		if logged := (*logError)(nil); errors.As(err, &logged) {
			fmt.Fprintln(os.Stderr, logged.tail())
		}
		return 1
	}
	return 0
}

// show runs the demo in a temporary directory and removes it.
func show(ctx context.Context, bin string, out *printer) (err error) {
	if bin == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("cannot find the programs: %v", err)
		}
		bin = filepath.Dir(filepath.Dir(self))
	}
	dir, err := os.MkdirTemp("", "al-demo-")
	if err != nil {
		return err
	}
	d, err := newDemo(dir, bin, out)
	if err == nil {
		err = d.run(ctx)
		d.killAll()
	}
	if logged := (*logError)(nil); errors.As(err, &logged) {
		logged.read() // before the log goes
	}
	return errors.Join(err, os.RemoveAll(dir))
}
