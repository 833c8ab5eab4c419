// Package modelstub is as much of the model APIs behind claude and codex as a
// run of theirs needs, for tests. It says what it was asked and nothing else.
//
// The first element of the path is how it behaves, so the tools' base URL
// chooses: http://127.0.0.1:1234/ok for claude, .../ok/v1 for codex.
//
//	ok     answers "STUB turns=N", N counting the turns of the conversation
//	tool   asks for a shell command, whatever it was asked
//	cut    ends the stream in the middle
//	hang   says nothing until the client goes away
//	empty  ends the turn without a word
//	401    and any other number: that status, with an error of the API's shape
package modelstub

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Server is an http.Handler.
type Server struct {
	mu       sync.Mutex
	requests []Request
	arrived  chan struct{} // closed at the next request
}

// Request is one that came.
type Request struct {
	Path string
	Key  string // of x-api-key, or of authorization with its scheme
	Body string
}

// Requests returns those that came so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// Arrived is closed when the next request is there.
func (s *Server) Arrived() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.arrived == nil {
		s.arrived = make(chan struct{})
	}
	return s.arrived
}

func (s *Server) note(r *http.Request, body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Header.Get("X-Api-Key")
	if key == "" {
		key = r.Header.Get("Authorization")
	}
	s.requests = append(s.requests, Request{Path: r.URL.Path, Key: key, Body: string(body)})
	if s.arrived != nil {
		close(s.arrived)
		s.arrived = nil
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.note(r, body)
	mode, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if status, err := strconv.Atoi(mode); err == nil {
		refuse(w, status)
		return
	}
	var events []event
	switch {
	case r.Method != http.MethodPost:
		http.NotFound(w, r)
		return
	case path == "v1/messages":
		events = messages(mode, string(body))
	case path == "v1/responses":
		events = responses(mode, string(body))
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	for _, e := range events {
		data, _ := json.Marshal(e) // of strings and numbers
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e["type"], data)
	}
	if mode == "hang" {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

// refuse answers in a shape that both tools read.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	kind := map[int]string{401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}[status]
	if kind == "" {
		kind = "api_error"
	}
	fmt.Fprintf(w, `{"type":"error","error":{"type":%q,"message":"the stub answers %d"}}`, kind, status)
}

// event is one of a stream of server-sent events.
type event map[string]any

// say is the answer to a conversation. Earlier answers are in it.
func say(body string) string {
	return fmt.Sprintf("STUB turns=%d", strings.Count(body, "STUB turns=")+1)
}

// messages answers POST /v1/messages.
func messages(mode, body string) []event {
	start := []event{{"type": "message_start", "message": map[string]any{
		"id": "msg_stub", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []any{}, "stop_reason": nil,
		"usage": map[string]int{"input_tokens": 10, "output_tokens": 1, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 2}}}}
	text := []event{
		{"type": "content_block_start", "index": 0, "content_block": map[string]string{"type": "text", "text": ""}},
		{"type": "content_block_delta", "index": 0, "delta": map[string]string{"type": "text_delta", "text": say(body)}},
		{"type": "content_block_stop", "index": 0}}
	tool := []event{
		{"type": "content_block_start", "index": 0, "content_block": map[string]any{"type": "tool_use", "id": "toolu_stub", "name": "Bash", "input": map[string]any{}}},
		{"type": "content_block_delta", "index": 0, "delta": map[string]string{"type": "input_json_delta", "partial_json": `{"command":"echo tool","description":"Says tool"}`}},
		{"type": "content_block_stop", "index": 0}}
	end := func(reason string) []event {
		return []event{{"type": "message_delta", "delta": map[string]string{"stop_reason": reason}, "usage": map[string]int{"output_tokens": 5}},
			{"type": "message_stop"}}
	}
	switch mode {
	case "tool":
		return append(append(start, tool...), end("tool_use")...)
	case "cut", "hang":
		return start
	case "empty":
		return append(start, end("end_turn")...)
	}
	return append(append(start, text...), end("end_turn")...)
}

// responses answers POST /v1/responses.
func responses(mode, body string) []event {
	created := event{"type": "response.created", "response": map[string]string{"id": "resp_stub"}}
	text := event{"type": "response.output_item.done", "item": map[string]any{
		"type": "message", "role": "assistant", "content": []any{map[string]string{"type": "output_text", "text": say(body)}}}}
	tool := event{"type": "response.output_item.done", "item": map[string]any{
		"type": "function_call", "call_id": "call_stub", "name": "exec_command", "arguments": `{"cmd":"echo tool"}`}}
	end := event{"type": "response.completed", "response": map[string]any{"id": "resp_stub", "usage": map[string]any{
		"input_tokens": 11, "input_tokens_details": map[string]int{"cached_tokens": 3},
		"output_tokens": 7, "output_tokens_details": map[string]int{"reasoning_tokens": 2}, "total_tokens": 18}}}
	switch {
	case mode == "cut" || mode == "hang":
		return []event{created}
	case mode == "empty":
		return []event{created, end}
	case mode == "tool" && !strings.Contains(body, "call_stub"): // codex has no limit of turns
		return []event{created, tool, end}
	}
	return []event{created, text, end}
}
