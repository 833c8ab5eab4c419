package adaptertest

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// watched is a run under observation.
type watched struct {
	what   string
	start  *adapterpb.ObserveStart
	pieces [][]byte // of the output
	exit   adapter.Exit
	noExit bool // the stream ends without one
}

// watch has a run observed. Anything but an outcome that keeps the rules is a
// fault, and gives nil.
func (k *kit) watch(w *watched) *adapterpb.Outcome {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := k.client.Observe(ctx)
	if err != nil {
		k.fault("%s: Observe does not begin: %s", w.what, reason(err))
		return nil
	}
	sent := make(chan struct{})
	go func() { defer close(sent); w.send(stream) }()
	defer func() { cancel(); <-sent }()
	var outcome *adapterpb.Outcome
	for {
		m, err := stream.Recv()
		switch {
		case err == io.EOF && outcome == nil:
			k.fault("%s: Observe ended without an outcome", w.what)
			return nil
		case err == io.EOF:
			return k.outcomeKeepsRules(w.what, outcome)
		case err != nil:
			k.fault("%s: Observe failed: %s", w.what, reason(err))
			return nil
		case outcome != nil:
			k.fault("%s: something comes after the outcome", w.what)
			return nil
		case m.GetOutcome() != nil:
			outcome = m.GetOutcome()
		case strings.Contains(m.GetProgress().GetText(), "\n"):
			k.fault("%s: progress has several lines", w.what)
			return nil
		}
	}
}

// send ends early if nobody listens any more.
func (w *watched) send(stream adapterpb.Adapter_ObserveClient) {
	messages := []*adapterpb.ObserveRequest{{Of: &adapterpb.ObserveRequest_Start{Start: w.start}}}
	for _, piece := range w.pieces {
		messages = append(messages, &adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Output{Output: &adapterpb.Output{Data: piece}}})
	}
	if !w.noExit {
		messages = append(messages, &adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Exit{
			Exit: &adapterpb.Exit{Code: int32(w.exit.Code), Signal: int32(w.exit.Signal), Reason: w.exit.Reason}}})
	}
	for _, m := range messages {
		if stream.Send(m) != nil {
			return
		}
	}
	_ = stream.CloseSend()
}

// classes are all that an error can have.
func classes() []adapter.ErrorClass {
	return []adapter.ErrorClass{adapter.ErrorAuth, adapter.ErrorRateLimit, adapter.ErrorOverloaded, adapter.ErrorNetwork, adapter.ErrorTimeout,
		adapter.ErrorLimit, adapter.ErrorSession, adapter.ErrorConfig, adapter.ErrorOther}
}

// outcomeKeepsRules returns o, or nil after a fault.
func (k *kit) outcomeKeepsRules(what string, o *adapterpb.Outcome) *adapterpb.Outcome {
	u, class := o.GetUsage(), adapter.ErrorClass(o.GetErrorClass())
	for _, rule := range []struct {
		broken  bool
		message string
	}{
		{o.GetSession() != nil && o.GetSession().GetId() == "", "a session has no id"},
		{len(o.GetSession().GetId()) > adapter.MaxSessionID, fmt.Sprintf("a session's id has more than %d bytes", adapter.MaxSessionID)},
		{len(o.GetSession().GetState()) > adapter.MaxState, fmt.Sprintf("a session's state has more than %d bytes", adapter.MaxState)},
		{u.GetInputTokens() < 0 || u.GetOutputTokens() < 0 || u.GetCachedInputTokens() < 0, "usage is negative"},
		{!(o.GetCostUsd() >= 0) || math.IsInf(o.GetCostUsd(), 0), "the cost is no amount"},
		{o.GetError() == "" && class != "", "there is a class of error without an error"},
		{o.GetError() != "" && !slices.Contains(classes(), class), fmt.Sprintf("an error has the class %q, which is none", class)},
	} {
		if rule.broken {
			k.fault("%s: %s", what, rule.message)
			return nil
		}
	}
	return o
}
