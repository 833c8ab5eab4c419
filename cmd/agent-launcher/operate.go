package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/launcher"
	"github.com/agent-launcher/agent-launcher/launcher/control"
)

const defaultSocket = "/run/agent-launcher/control.sock"

func statusCommand() *cobra.Command {
	var socket string
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "show agents, heartbeats, runs, delivered versions and what is wrong",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if watch {
				return watchStatus(cmd.Context(), cmd.OutOrStdout(), control.NewClient(socket))
			}
			s, err := control.NewClient(socket).Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	socketFlag(cmd, &socket)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again every second, until interrupted")
	cmd.MarkFlagsMutuallyExclusive("json", "watch")
	return cmd
}

func wakeCommand() *cobra.Command {
	var socket, context string
	var wait bool
	var about control.Wake
	cmd := &cobra.Command{
		Use:   "wake AGENT",
		Short: "start a heartbeat now; lets a stopped agent go",
		Long: "Start a heartbeat of AGENT now, and let it go if it was stopped. With --wait the exit code is the run's,\n" +
			"or 0 when a service runs.\n" +
			"An adapter that keeps sessions keeps one per task.",
		Args: arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if context != "" {
				about.Context = json.RawMessage(context)
			}
			w, err := control.NewClient(socket).Wake(cmd.Context(), args[0], about, wait)
			if err != nil || !wait {
				return err
			}
			return outcome(cmd, w)
		},
	}
	socketFlag(cmd, &socket)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the end of the run")
	cmd.Flags().StringVar(&about.Task, "task", "", "what the run is about")
	cmd.Flags().StringVar(&context, "context", "", "what the agent's adapter shall know beside, a JSON object")
	return cmd
}

// outcome tells how a run that was waited for ended.
func outcome(cmd *cobra.Command, w *control.Woken) error {
	if w.Heartbeat.Error != "" {
		return fmt.Errorf("cannot run %s: %s", w.Agent, w.Heartbeat.Error)
	}
	r := w.Run
	if !r.State.Done() { // a service
		fmt.Fprintf(cmd.OutOrStdout(), "run %s of %s: running\n", r.RunID, w.Agent)
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "run %s of %s: %s\n", r.RunID, w.Agent, ended(r))
	if r.Outcome != nil && r.Outcome.Summary != "" {
		fmt.Fprintln(cmd.OutOrStdout(), r.Outcome.Summary)
	}
	if code := launcher.ExitCode(r); code != 0 {
		return exitError{code: code}
	}
	return nil
}

func stopCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "stop AGENT",
		Short: "end an agent's run and hold the agent until it is woken",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return control.NewClient(socket).Stop(cmd.Context(), args[0])
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

func drainCommand() *cobra.Command {
	var socket string
	var end bool
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "start no heartbeat any more, end services, and wait until nothing runs",
		Long:  "Start no heartbeat any more, end services, and wait until nothing runs. It holds until drain --end, or until the daemon is started again.",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return control.NewClient(socket).Drain(cmd.Context(), end)
		},
	}
	socketFlag(cmd, &socket)
	cmd.Flags().BoolVar(&end, "end", false, "let heartbeats start again")
	return cmd
}

func reloadCommand() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "read the configuration again; on an error the old one stays",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return control.NewClient(socket).Reload(cmd.Context())
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

func logsCommand() *cobra.Command {
	var socket string
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs AGENT",
		Short: "print the output of the last finished run, then of the current one",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := control.NewClient(socket).Logs(cmd.Context(), args[0], follow, cmd.OutOrStdout())
			if errors.Is(err, unix.EPIPE) || cmd.Context().Err() != nil { // logs | head, or Ctrl-C
				return nil
			}
			return err
		},
	}
	socketFlag(cmd, &socket)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the current run ends")
	return cmd
}

func socketFlag(cmd *cobra.Command, socket *string) {
	cmd.Flags().StringVar(socket, "socket", defaultSocket, "control socket of the daemon")
}
