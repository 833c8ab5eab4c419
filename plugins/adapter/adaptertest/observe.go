package adaptertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

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

// observe: whatever a run prints, there is one outcome that keeps the rules.
func (k *kit) observe() {
	if !slices.Contains(k.can, adapter.CanObserve) {
		k.observesNothing()
		return
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for _, c := range k.planned() {
		reply := k.ask(c.Name, c.request())
		if reply.GetPlan() == nil {
			continue
		}
		w := &watched{what: c.Name, start: c.start(reply.GetPlan()), pieces: [][]byte{[]byte(c.Output)}, exit: c.Exit}
		whole := k.watch(w)
		if whole == nil || !k.asWanted(&c, whole) || !k.anyPieces(w, c.Output, whole, rnd) {
			continue
		}
		k.oddOutputs(w, c.Output, rnd)
	}
}

func (k *kit) observesNothing() {
	stream, err := k.client.Observe(context.Background())
	if err == nil {
		_ = stream.CloseSend()
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		k.fault("it has Observe, and Describe does not say so: can lacks %q", adapter.CanObserve)
	}
}

func (c *Case) start(p *adapterpb.Plan) *adapterpb.ObserveStart {
	r := c.request()
	return &adapterpb.ObserveStart{AgentId: r.AgentId, AgentName: r.AgentName, CompanyId: r.CompanyId, RunId: r.RunId,
		Config: r.Config, Task: r.Task, Session: r.Session, Carry: p.GetCarry()}
}

// asWanted compares an outcome with the case's.
func (k *kit) asWanted(c *Case, got *adapterpb.Outcome) bool {
	if c.Want == nil {
		return true
	}
	id, want := "none", "none"
	if got.GetSession() != nil {
		id = got.GetSession().GetId()
	}
	if c.Want.Session != nil {
		want = c.Want.Session.ID
	}
	u := got.GetUsage()
	has := fmt.Sprintf("%+v", adapter.Outcome{Summary: got.GetSummary(), Error: got.GetError(), Class: adapter.ErrorClass(got.GetErrorClass()), CostUSD: micro(got.GetCostUsd()),
		Usage: adapter.Usage{InputTokens: u.GetInputTokens(), OutputTokens: u.GetOutputTokens(), CachedInputTokens: u.GetCachedInputTokens()}})
	should := *c.Want
	should.Session, should.CostUSD = nil, micro(should.CostUSD)
	if wants := fmt.Sprintf("%+v", should); has != wants || id != want {
		k.fault("%s: the outcome is %s and session %s, want %s and %s", c.Name, has, id, wants, want)
		return false
	}
	return true
}

// micro rounds dollars to millionths, as sums of them are not exact.
func micro(usd float64) float64 { return math.Round(usd*1e6) / 1e6 }

// anyPieces: where output is cut on its way does not matter.
func (k *kit) anyPieces(w *watched, output string, whole *adapterpb.Outcome, rnd *rand.Rand) bool {
	for range 5 {
		cut := *w
		cut.what, cut.pieces = w.what+" in pieces", pieces(output, rnd)
		if got := k.watch(&cut); got == nil || !proto.Equal(got, whole) {
			if got != nil {
				k.fault("%s: the outcome is %v, and %v if the output comes whole", cut.what, got, whole)
			}
			return false
		}
	}
	return true
}

func pieces(s string, rnd *rand.Rand) (out [][]byte) {
	for len(s) > 0 {
		n := min(len(s), 1+rnd.IntN(1+rnd.IntN(2000)))
		out = append(out, []byte(s[:n]))
		s = s[n:]
	}
	return out
}

// oddOutputs are watched for the rules alone. One fault is enough to mend.
func (k *kit) oddOutputs(w *watched, output string, rnd *rand.Rand) {
	exits := []adapter.Exit{{}, {Code: 1}, {Code: 143}, {Signal: 9}, {Signal: 15, Reason: "timed out: timeoutSec is over"}, w.exit}
	for i, odd := range spoiled(output, rnd) {
		other := *w
		other.what, other.pieces, other.exit = w.what+" with odd output", pieces(odd, rnd), exits[i%len(exits)]
		if other.noExit = i%7 == 6; len(odd) > 1<<20 {
			other.pieces = [][]byte{[]byte(odd[:1<<20]), []byte(odd[1<<20:])}
		}
		if k.watch(&other) == nil {
			return
		}
	}
	k.givenUp(w)
}

// spoiled are variations of an output.
func spoiled(output string, rnd *rand.Rand) []string {
	out := []string{"", "\n", "{", "null\n", "{}\n", "\x00\xff\n", strings.Repeat("[", 100_000) + "\n", strings.Repeat("x", 3<<20), output + output}
	lines := strings.SplitAfter(output, "\n")
	for range 20 {
		out = append(out, output[:rnd.IntN(len(output)+1)])
		i, j := rnd.IntN(len(lines)), rnd.IntN(len(lines))
		swapped := slices.Clone(lines)
		swapped[i], swapped[j] = swapped[j], swapped[i]
		out = append(out, strings.Join(swapped, ""), strings.Join(slices.Delete(swapped, i, i+1), ""))
		noise := []byte(output)
		for range len(noise) / 20 {
			noise[rnd.IntN(len(noise))] = byte(rnd.IntN(256))
		}
		out = append(out, string(noise))
	}
	for i, line := range lines {
		for _, odd := range oddLines(line, rnd) {
			changed := slices.Clone(lines)
			changed[i] = odd + "\n"
			out = append(out, strings.Join(changed, ""))
		}
	}
	return out
}

// oddLines are a few of the values near to that of a line of JSON.
func oddLines(line string, rnd *rand.Rand) []string {
	var value any
	if json.Unmarshal([]byte(line), &value) != nil {
		return nil
	}
	const most = 20
	var out []string
	seen := 0
	vary(value, func(v any) {
		seen++
		at := len(out)
		if at == most { // a fair choice of those that came so far
			if at = rnd.IntN(seen); at >= most {
				return
			}
			out = slices.Delete(out, at, at+1)
		}
		text, err := json.Marshal(v)
		if err == nil {
			out = append(out, strings.ReplaceAll(string(text), "1e+300", "1e999"))
		}
	})
	return out
}

// givenUp: a caller who goes away harms no other.
func (k *kit) givenUp(w *watched) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := k.client.Observe(ctx)
	if err != nil {
		k.fault("%s: Observe does not begin: %s", w.what, reason(err))
		return
	}
	_ = stream.Send(&adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Start{Start: w.start}})
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
