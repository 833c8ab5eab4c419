package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/agent-launcher/agent-launcher/controlplane"
)

// Exit codes.
const (
	exitOK      = 0
	exitRuntime = 1
	exitUsage   = 2
)

// runtimeError marks what went wrong after the command line was understood;
// every other error is one of usage.
type runtimeError struct{ error }

func (e runtimeError) Unwrap() error { return e.error }

// run is the whole command. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:               "control-plane",
		Short:             "Reference control plane of agent-launcher",
		Version:           version(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Args:              cobra.NoArgs,
		RunE:              func(*cobra.Command, []string) error { return errors.New("a command is needed: serve") },
	}
	root.AddCommand(serveCommand(stdout, stderr))
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "control-plane: %v\n", err)
	var hint *controlplane.Hint
	if errors.As(err, &hint) {
		fmt.Fprintf(stderr, "hint: %s\n", hint.Advice)
	}
	if errors.As(err, new(runtimeError)) {
		return exitRuntime
	}
	fmt.Fprintln(stderr, "hint: control-plane serve --help")
	return exitUsage
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
