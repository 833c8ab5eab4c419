package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// Observe does what the plan handed over.
func (obey) Observe(ctx context.Context, o *adapter.Observation) (adapter.Outcome, error) {
	var order struct {
		Do      string
		Outcome adapter.Outcome
	}
	if err := json.Unmarshal(o.Carry, &order); err != nil {
		return adapter.Outcome{}, err
	}
	switch order.Do {
	case "early": // without reading
		return order.Outcome, nil
	case "hang":
		<-ctx.Done()
	case "crash":
		os.Exit(7)
	case "panic":
		panic("observed")
	case "chatter":
		for range 2_000 {
			o.Progress("\x1b[31m" + strings.Repeat("x", 10_000))
		}
	}
	longest := 0
	for line := range o.Lines {
		longest = max(longest, len(line))
		order.Outcome.Usage.OutputTokens++
	}
	if order.Do == "count" {
		order.Outcome.Usage.InputTokens, order.Outcome.Usage.CachedInputTokens = int64(longest), int64(o.Exit().Code)
	}
	return order.Outcome, nil
}
