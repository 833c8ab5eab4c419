// Command teller is an adapter whose agents say in plain lines what an adapter
// has to find out: "session: ID", "progress: TEXT", "cost: N", "summary: TEXT",
// "fail: TEXT". Lines of no such kind are counted as tokens.
package main

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

type teller struct{}

func main() { adapter.Serve(teller{}) }

func (teller) Describe(context.Context) (adapter.Description, error) {
	return adapter.Description{Type: "teller", Schema: json.RawMessage(`{"type":"object"}`)}, nil
}

type config struct {
	Command, Cwd     string
	Args             []string
	Read, Write      []string
	Network, Suicide bool
	TimeoutMS        int
}

func (teller) Plan(_ context.Context, r adapter.PlanRequest) (adapter.Plan, error) {
	var c config
	if err := json.Unmarshal(r.Config, &c); err != nil {
		return adapter.Plan{}, err
	}
	env := map[string]string{"TASK": r.Task, "WAKE": string(r.Wake)}
	carry := []byte("carried")
	if c.Suicide {
		carry = []byte("suicide")
	}
	if r.Session != nil {
		env["SESSION"], env["STATE"] = r.Session.ID, string(r.Session.State)
	}
	return adapter.Plan{
		Argv: append([]string{c.Command}, c.Args...), Dir: c.Cwd, Env: env, Carry: carry,
		Needs: adapter.Needs{Read: c.Read, Write: c.Write, Network: c.Network}, Timeout: time.Duration(c.TimeoutMS) * time.Millisecond,
	}, nil
}

func (teller) Observe(_ context.Context, o *adapter.Observation) (adapter.Outcome, error) {
	out := adapter.Outcome{Session: o.Session}
	for raw := range o.Lines {
		kind, text, _ := strings.Cut(string(raw), ": ")
		switch kind {
		case "session":
			out.Session = &adapter.Session{ID: text, State: append(o.Carry, " "+o.Task...)}
		case "progress":
			o.Progress(text)
			if string(o.Carry) == "suicide" {
				os.Exit(3)
			}
		case "cost":
			out.CostUSD, _ = strconv.ParseFloat(text, 64)
		case "summary":
			out.Summary = text
		case "fail":
			out.Error, out.Class = text, adapter.ErrorAuth
		default:
			out.Usage.OutputTokens++
		}
	}
	out.Usage.InputTokens = int64(o.Exit().Code)
	return out, nil
}
