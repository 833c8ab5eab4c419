package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/agent-launcher/agent-launcher/launcher/control"
)

func explainCommand() *cobra.Command {
	var socket string
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "explain AGENT [PATH|:PORT]...",
		Short: "say what an agent may do and why it does not run",
		Long: "Say who AGENT runs as, what its policy opens, why it does not run if it does not, and for each PATH or\n" +
			":PORT whether the agent may use it, by which rule, and what to add to its file if it may not.\n" +
			"Without any, it takes the paths and ports that the last run's output says were denied.",
		Args: arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			about, err := subjects(args[1:])
			if err != nil {
				return usage(err)
			}
			x, err := explanation(cmd.Context(), control.NewClient(socket), args[0], about)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(x)
			}
			return printExplanation(cmd.OutOrStdout(), x, all)
		},
	}
	socketFlag(cmd, &socket)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "print every rule, also those that all agents have")
	return cmd
}

func subjects(args []string) (about control.Subjects, err error) {
	for _, arg := range args {
		port, isPort := strings.CutPrefix(arg, ":")
		n, err := strconv.ParseUint(port, 10, 16)
		switch {
		case isPort && err == nil && n > 0:
			about.Ports = append(about.Ports, uint16(n))
		case strings.HasPrefix(arg, "/"):
			about.Paths = append(about.Paths, arg)
		default:
			return about, fmt.Errorf("%q is neither an absolute path nor :PORT", arg)
		}
	}
	return about, nil
}

// explanation asks the daemon. What an agent printed may be a secret and never
// goes there: those paths are judged here, with the policy that it answered.
func explanation(ctx context.Context, c *control.Client, agent string, about control.Subjects) (*control.Explanation, error) {
	x, err := c.Explain(ctx, agent, about)
	if err != nil || x.Policy == nil || len(about.Paths)+len(about.Ports) > 0 {
		return x, err
	}
	log := &tail{max: 1 << 20}
	if err := c.Logs(ctx, agent, false, log); err != nil {
		return nil, err
	}
	denied := denials(log.bytes())
	for _, path := range denied.Paths {
		x.Verdicts = append(x.Verdicts, x.Policy.Path(path))
	}
	for _, port := range denied.Ports {
		x.Verdicts = append(x.Verdicts, x.Policy.Port(port))
	}
	return x, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	max  int
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if len(t.data) > 2*t.max { // not at every write: copying costs
		t.data = append(t.data[:0], t.bytes()...)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte { return t.data[max(0, len(t.data)-t.max):] }
