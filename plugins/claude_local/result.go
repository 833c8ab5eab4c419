package main

import (
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/internal/cli"
)

// result is the last line of a run. Its subtype is "success" for failures of
// the API, too.
type result struct {
	IsError        bool `json:"is_error"`
	Result         string
	Errors         []string
	APIErrorStatus cli.Count `json:"api_error_status"`
	APIErrorKind   string    `json:"api_error"`
	TerminalReason string    `json:"terminal_reason"`

	TotalCost  cli.USD          `json:"total_cost_usd"`                // of the session, with what was resumed
	ThisRun    map[string]spent `json:"model_usage_since_last_result"` // of this run, by model
	Usage      mainUsage        // of this run, without helpers of the model
	haveResult bool
	subtype    string
}

// spent is the use of one model.
type spent struct {
	Input     cli.Count `json:"inputTokens"`
	CacheMade cli.Count `json:"cacheCreationInputTokens"`
	CacheRead cli.Count `json:"cacheReadInputTokens"`
	Output    cli.Count `json:"outputTokens"`
	CostUSD   cli.USD   `json:"costUSD"`
}

type mainUsage struct {
	Input     cli.Count `json:"input_tokens"`
	CacheMade cli.Count `json:"cache_creation_input_tokens"`
	CacheRead cli.Count `json:"cache_read_input_tokens"`
	Output    cli.Count `json:"output_tokens"`
}

func (l *result) outcome(r *cli.Run) adapter.Outcome {
	out := adapter.Outcome{Usage: l.usage(), CostUSD: l.cost(r.Before.CostUSD)}
	if !l.IsError {
		out.Summary = cli.Clip(l.Result, cli.MaxSummary)
	}
	out.Error, out.Class = l.failure(r)
	if out.Class == adapter.ErrorSession {
		return out
	}
	state := r.Before
	if l.haveResult {
		state.CostUSD = float64(l.TotalCost)
	}
	out.Session = r.Keep(state)
	return out
}

// usage counts helpers of the model, too, where the tool says what they used.
// Input is what did not come from a cache.
func (l *result) usage() (u adapter.Usage) {
	for _, m := range l.ThisRun {
		u.InputTokens += int64(m.Input + m.CacheMade)
		u.CachedInputTokens += int64(m.CacheRead)
		u.OutputTokens += int64(m.Output)
	}
	if l.ThisRun == nil {
		m := l.Usage
		u = adapter.Usage{InputTokens: int64(m.Input + m.CacheMade), CachedInputTokens: int64(m.CacheRead), OutputTokens: int64(m.Output)}
	}
	return u
}

// cost is of this run. A session that counts from nothing again has less than
// before.
func (l *result) cost(before float64) (usd float64) {
	for _, m := range l.ThisRun {
		usd += float64(m.CostUSD)
	}
	total := float64(l.TotalCost)
	switch {
	case l.ThisRun != nil:
		return usd
	case total < before:
		return total
	}
	return total - before
}

// failure is why the run failed; empty if it did not. What the launcher did
// comes first, then what the tool says, then how it ended.
func (l *result) failure(r *cli.Run) (string, adapter.ErrorClass) {
	ended, class := r.Ended()
	text := l.text()
	failed := l.IsError || ended != ""
	switch {
	case r.Exit.Reason != "":
		return ended, class
	case failed && strings.Contains(text+r.Said, "No conversation found"):
		return "claude does not know the session", adapter.ErrorSession
	case failed && strings.HasPrefix(text, "Prompt is too long"):
		return text, adapter.ErrorSession
	case l.IsError:
		return text, l.class(text)
	case failed:
		return ended, class
	case !l.haveResult:
		return "claude ended without a result", adapter.ErrorOther
	}
	return "", ""
}

// text is what the result says about a failure.
func (l *result) text() string {
	if !l.IsError {
		return ""
	}
	for _, text := range append([]string{l.Result}, l.Errors...) {
		if line := cli.OneLine(text, 500); line != "" {
			return line
		}
	}
	return "claude failed: " + cli.OneLine(l.TerminalReason, 100)
}

func (l *result) class(text string) adapter.ErrorClass {
	switch {
	case l.subtype == "error_max_turns" || l.subtype == "error_max_budget_usd":
		return adapter.ErrorLimit
	case l.APIErrorStatus != 0:
		return cli.StatusClass(int64(l.APIErrorStatus))
	case l.APIErrorKind == "connection_failed":
		return adapter.ErrorNetwork
	case strings.Contains(text, "Not logged in") || strings.Contains(text, "Invalid API key"):
		return adapter.ErrorAuth
	case l.TerminalReason == "api_error": // an answer that makes no sense
		return adapter.ErrorOverloaded
	}
	return adapter.ErrorOther
}
