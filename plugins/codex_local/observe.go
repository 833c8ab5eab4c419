package main

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/internal/cli"
)

// event is a line that codex prints with --json, as much of it as is used.
type event struct {
	Type     string
	ThreadID string `json:"thread_id"`
	Message  string // of error
	Error    struct{ Message string }
	Item     item
	Usage    usage
}

type item struct {
	Type, Text, Command, Tool, Query string
}

// usage is of the whole thread, with what was resumed. The input includes what
// came from a cache.
type usage struct {
	Input  cli.Count `json:"input_tokens"`
	Cached cli.Count `json:"cached_input_tokens"`
	Output cli.Count `json:"output_tokens"`
}

// turn is what is known of a run.
type turn struct {
	message   string // the agent's last
	trouble   string // the last error; may be one that codex got over
	failed    bool
	completed bool
	total     adapter.Usage
}

// Observe implements adapter.Observer.
func (codex) Observe(_ context.Context, o *adapter.Observation) (adapter.Outcome, error) {
	var t turn
	run := cli.Watch(o, func(r *cli.Run, line []byte) {
		var e event
		if cli.Decode(line, &e) {
			t.note(r, &e)
		}
	})
	return t.outcome(run), nil
}

// note takes what an event says of the run.
func (t *turn) note(r *cli.Run, e *event) {
	switch e.Type {
	case "thread.started":
		r.Session = e.ThreadID
	case "item.started":
		r.Progress(e.Item.doing())
	case "item.completed":
		t.done(r, &e.Item)
	case "error":
		t.trouble = plain(e.Message)
		r.Progress(t.trouble)
	case "turn.failed":
		t.failed, t.trouble = true, plain(e.Error.Message)
	case "turn.completed":
		t.completed, t.failed = true, false
		t.total = adapter.Usage{InputTokens: int64(max(0, e.Usage.Input-e.Usage.Cached)), CachedInputTokens: int64(e.Usage.Cached), OutputTokens: int64(e.Usage.Output)}
	case "turn.started":
	default:
		return
	}
	r.Events = true
}

// done takes a finished item. One of type error may be a mere warning.
func (t *turn) done(r *cli.Run, i *item) {
	if i.Type == "error" {
		return
	}
	r.Spoke = true
	if i.Type == "agent_message" {
		t.message = i.Text
		r.Progress(i.Text)
	}
}

// doing is an item that begins, in a line.
func (i *item) doing() string {
	switch i.Type {
	case "command_execution":
		return "runs " + i.Command
	case "mcp_tool_call":
		return "uses " + i.Tool
	case "web_search":
		return "searches " + i.Query
	case "file_change":
		return "changes files"
	}
	return ""
}

// plain is the message in an API's answer, if text is one.
func plain(text string) string {
	var answer struct{ Error struct{ Message string } }
	if cli.Decode([]byte(text), &answer); json.Valid([]byte(text)) && answer.Error.Message != "" {
		return answer.Error.Message
	}
	return text
}

func (t *turn) outcome(r *cli.Run) adapter.Outcome {
	state := r.Before
	out := adapter.Outcome{Summary: cli.Clip(t.message, cli.MaxSummary)}
	if t.completed {
		out.Usage, state.Usage = cli.Since(t.total, r.Before.Usage), t.total
	}
	if out.Error, out.Class = t.failure(r); out.Class != adapter.ErrorSession {
		out.Session = r.Keep(state)
	}
	return out
}

// failure is why the run failed; empty if it did not. What the launcher did
// comes first, then what codex says, then how it ended.
func (t *turn) failure(r *cli.Run) (string, adapter.ErrorClass) {
	ended, class := r.Ended()
	trouble := cli.OneLine(t.trouble, 500)
	switch {
	case class == adapter.ErrorTimeout && strings.Contains(trouble, "waiting for network"):
		return "the model API was not reached: " + ended, adapter.ErrorNetwork
	case r.Exit.Reason != "":
		return ended, class
	case ended != "" && strings.Contains(r.Said, "no rollout found for thread id"):
		return "codex does not know the session", adapter.ErrorSession
	case trouble != "" && (t.failed || ended != ""):
		return trouble, classOf(trouble)
	case ended != "":
		return ended, class
	case t.failed || !t.completed:
		return "codex ended without a result", adapter.ErrorOther
	case t.message == "":
		return "codex ended without a message", adapter.ErrorOther
	}
	return "", ""
}

// status is how codex names an answer of the API.
var status = regexp.MustCompile(`status:? ([1-5][0-9][0-9])\b`)

// classes are by words of codex, in lower case.
var classes = []struct {
	words string
	class adapter.ErrorClass
}{
	{"missing environment variable", adapter.ErrorAuth},
	{"usage limit", adapter.ErrorLimit},
	{"quota exceeded", adapter.ErrorLimit},
	{"budget exceeded", adapter.ErrorLimit},
	{"high demand", adapter.ErrorOverloaded},
	{"stream disconnected", adapter.ErrorOverloaded},
	{"error sending request", adapter.ErrorNetwork},
	{"waiting for network", adapter.ErrorNetwork},
	{"context window", adapter.ErrorSession}, // one that is too long to go on with
}

func classOf(text string) adapter.ErrorClass {
	if m := status.FindStringSubmatch(text); m != nil {
		code, _ := strconv.ParseInt(m[1], 10, 64) // of three digits
		return cli.StatusClass(code)
	}
	for _, c := range classes {
		if strings.Contains(strings.ToLower(text), c.words) {
			return c.class
		}
	}
	return adapter.ErrorOther
}
