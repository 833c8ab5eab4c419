package adaptertest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

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
		Task: r.Task, Session: r.Session, Carry: p.GetCarry()}
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
