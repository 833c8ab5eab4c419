package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"

	"github.com/agent-launcher/agent-launcher/launcher"
	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

const defaultConfig = "/etc/agent-launcher/config.json"

func runCommand() *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   "run --config FILE",
		Short: "run the daemon",
		Long:  "Run the daemon in the foreground. SIGHUP reloads, SIGTERM and SIGINT end the agents, then the daemon;\nSIGUSR2 ends the daemon and leaves the agents to the next one.",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newDaemonLog(level)
			if err != nil {
				return usage(err)
			}
			defer log.close()
			reload, leave := make(chan os.Signal, 1), make(chan os.Signal, 1)
			signal.Notify(reload, syscall.SIGHUP)
			signal.Notify(leave, syscall.SIGUSR2)
			// Without this a closed stderr ends the daemon at its next log line.
			// Not ignored: that would be handed on to plugins.
			signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
			err = launcher.Run(cmd.Context(), path, version(), log.Logger, launcher.Signals{Reload: reload, Leave: leave})
			if err == nil {
				return nil
			}
			complain(log.stderr, err) // here, because main would wait for stderr
			return exitError{code: codeOf(err)}
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func execCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "exec --config FILE AGENT",
		Short: "run one heartbeat of an agent in the foreground",
		Long:  "Run one heartbeat of AGENT in the foreground, without the daemon. The exit code is the agent's;\n125 it could not be started, 126 not executable, 127 not found, 128+n ended by signal n.",
		Args:  arguments(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			code, err := launcher.Exec(cmd.Context(), path, args[0], foregroundLog(zapcore.WarnLevel))
			var problems config.Problems
			if code == 0 && err == nil || errors.As(err, &problems) {
				return err
			}
			return exitError{code, err}
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func checkCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check --config FILE",
		Short: "validate everything the daemon would use, without starting an agent",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := launcher.Check(cmd.Context(), path)
			for _, p := range r.Problems {
				printProblem(cmd.ErrOrStderr(), p)
			}
			for _, p := range r.Notes {
				fmt.Fprintf(cmd.OutOrStdout(), "info: %s\n", p.Error())
			}
			for _, err := range r.Host {
				complain(cmd.ErrOrStderr(), err)
			}
			if r.Failed() {
				return exitError{code: exitConfig}
			}
			fmt.Fprintf(cmd.OutOrStdout(), "ok: %d agents; this host can enforce: %s\n", len(r.Agents), r.Enforces)
			fmt.Fprintf(cmd.OutOrStdout(), "agents run as: %s\n", r.Users())
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func keygenCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "keygen --out FILE",
		Short: "make a host key: the private half into FILE, the public half on stdout",
		Args:  arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if out == "" {
				return usage(fmt.Errorf("keygen needs --out FILE"))
			}
			// The private key is made in the stage binary: this one never holds it.
			stage, err := sandbox.StagePath()
			if err != nil {
				return err
			}
			child := exec.CommandContext(cmd.Context(), stage, "keygen", "--out", out)
			child.Stdout, child.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if err := child.Run(); err != nil {
				return exitError{code: exitRuntime} // the child has said why
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file for the private key, made with mode 0600; never replaced")
	return cmd
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "schema config|adapter",
		Short:     "print the JSON Schema of config.json or of an adapter file",
		Args:      arguments(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)),
		ValidArgs: []string{"config", "adapter"},
		RunE: func(cmd *cobra.Command, args []string) error {
			schema, err := config.Schema(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", schema)
			return nil
		},
	}
}

func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", defaultConfig, "configuration file")
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && v == "(devel)" {
			v += " " + s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
