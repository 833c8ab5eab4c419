package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/internal/cli"
)

// event is a line of the tool's stream-json, as much of it as is used.
type event struct {
	Type      string
	Subtype   string
	SessionID string `json:"session_id"`

	// Of assistant.
	Message  struct{ Content []json.RawMessage }
	APIError bool `json:"is_api_error_message"` // the text is the tool's, not the model's

	// Of system/api_retry.
	ErrorStatus cli.Count `json:"error_status"`
	Error       string

	result
}

// Observe implements adapter.Observer.
func (claude) Observe(_ context.Context, o *adapter.Observation) (adapter.Outcome, error) {
	var last result
	run := cli.Watch(o, func(r *cli.Run, line []byte) {
		var e event
		if cli.Decode(line, &e) {
			e.note(r, &last)
		}
	})
	return last.outcome(run), nil
}

// note takes what an event says of the run.
func (e *event) note(r *cli.Run, last *result) {
	switch e.Type {
	case "system":
		if e.Subtype == "api_retry" {
			r.Progress(fmt.Sprintf("retries after %s (status %d)", e.Error, e.ErrorStatus))
		}
	case "assistant":
		r.Spoke = r.Spoke || !e.APIError
		for _, block := range e.Message.Content {
			r.Progress(describe(block))
		}
	case "result":
		*last = e.result
		last.haveResult, last.subtype = true, e.Subtype
	default:
		return
	}
	r.Events = true
	if e.SessionID != "" {
		r.Session = e.SessionID
	}
}

// describe is a block of the model's message in a line.
func describe(block json.RawMessage) string {
	var b struct {
		Type, Text, Name string
		Input            struct{ Description string }
	}
	switch cli.Decode(block, &b); {
	case b.Type == "text":
		return b.Text
	case b.Type == "tool_use" && b.Input.Description != "":
		return b.Name + ": " + b.Input.Description
	case b.Type == "tool_use":
		return b.Name
	}
	return ""
}
