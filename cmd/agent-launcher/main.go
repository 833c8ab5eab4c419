// Command agent-launcher is the sidecar daemon of an agent host, and the
// operator's commands for it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

// Exit codes, an interface like any other: 0 fine, 1 runtime error, 2 usage,
// 78 configuration (EX_CONFIG of sysexits.h). exec adds the agent's own.
const (
	exitRuntime = 1
	exitUsage   = 2
	exitConfig  = 78
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := command()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		if code.err != nil {
			complain(stderr, code.err)
		}
		return code.code
	}
	complain(stderr, err)
	return codeOf(err)
}

// codeOf is the exit code of an error that has none of its own.
func codeOf(err error) int {
	var problems config.Problems
	if errors.As(err, &problems) {
		return exitConfig
	}
	return exitRuntime
}

// exitError is an error with an exit code of its own; err may be nil when
// everything has been said.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

func usage(err error) error { return exitError{exitUsage, err} }

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "agent-launcher",
		Short:         "start the AI agents of a Paperclip company on this host, with their secrets sealed",
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(cmd.Help(), usage(nil))
		},
		Args: arguments(cobra.NoArgs),
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	root.AddCommand(runCommand(), execCommand(), checkCommand(), statusCommand(), wakeCommand(), stopCommand(), drainCommand(),
		reloadCommand(), logsCommand(), explainCommand(), keygenCommand(), schemaCommand())
	return root
}

// arguments turns a wrong number of arguments into a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usage(fmt.Errorf("%w\nusage: %s", err, cmd.UseLine()))
		}
		return nil
	}
}
