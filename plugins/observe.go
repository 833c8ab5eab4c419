package plugins

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// ErrNoObserver says that a plugin does not read what its agents print.
var ErrNoObserver = errors.New("the plugin observes nothing")

// Bounds of an observation, in bytes.
const (
	maxPiece    = 64 << 10 // of output in a message
	maxProgress = 200
	maxSummary  = 4 << 10
)

// Observer is one run under observation by its plugin. One goroutine writes
// and finishes; the plugin's process stays for it, even when a newer version
// serves by now.
type Observer struct {
	host     *Host
	inst     *instance
	name     string
	stream   adapterpb.Adapter_ObserveClient
	end      func()
	progress func(string)

	done    chan struct{} // closed when the plugin has said all
	outcome *adapter.Outcome
	err     error
}

// Observe begins to observe a run. Of o it takes what the plugin is told, not
// the functions. progress is told what the agent does, in one line; it may be
// called until Close. Close the Observer. The error is *Error.
func (h *Host) Observe(ctx context.Context, adapterType string, o *adapter.Observation, progress func(string)) (*Observer, error) {
	starting, cancel := context.WithTimeout(ctx, h.opts.CallTimeout)
	defer cancel()
	inst, err := h.get(starting, adapterType)
	if err != nil {
		return nil, err
	}
	ctx, cancel = context.WithCancel(ctx)
	unhook := context.AfterFunc(inst.proc.gone, cancel) // a child of the plugin may hold the connection open beyond its end
	end := func() { unhook(); cancel() }
	stream, err := inst.rpc.Observe(ctx)
	if err != nil {
		end()
		inst.broke(err)
		h.leave(inst)
		return nil, &Error{Plugin: adapterType, Kind: KindCall, Message: "Observe: " + clean(status.Convert(err).Message(), maxMessage)}
	}
	out := &Observer{host: h, inst: inst, name: adapterType, stream: stream, end: end, progress: progress, done: make(chan struct{})}
	go out.listen()
	out.send(&adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Start{Start: &adapterpb.ObserveStart{
		AgentId: o.AgentID, AgentName: o.AgentName, CompanyId: o.CompanyID, RunId: o.RunID,
		Task: o.Task, Session: sessionTo(o.Session), Carry: o.Carry,
	}}})
	return out, nil
}

// send reports whether the plugin still listens. What went wrong is listen's to
// tell.
func (o *Observer) send(m *adapterpb.ObserveRequest) bool { return o.stream.Send(m) == nil }

// Write implements io.Writer: output of the run, in the order that it came. It
// waits for a plugin that is slow. io.ErrClosedPipe: the plugin listens no more.
func (o *Observer) Write(p []byte) (n int, err error) {
	for piece := range slices.Chunk(p, maxPiece) {
		if !o.send(&adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Output{Output: &adapterpb.Output{Data: piece}}}) {
			return n, io.ErrClosedPipe
		}
		n += len(piece)
	}
	return n, nil
}

// Done is closed when the plugin listens no more: it has said all, or it is gone.
func (o *Observer) Done() <-chan struct{} { return o.done }

// Finish tells the plugin that the run is over, and what it says then. The
// error is *Error, or ErrNoObserver.
func (o *Observer) Finish(exit adapter.Exit) (*adapter.Outcome, error) {
	o.send(&adapterpb.ObserveRequest{Of: &adapterpb.ObserveRequest_Exit{Exit: &adapterpb.Exit{
		Code: int32(exit.Code), Signal: int32(exit.Signal), Reason: clean(exit.Reason, maxMessage),
	}}})
	_ = o.stream.CloseSend()
	timer := time.NewTimer(o.host.opts.CallTimeout)
	defer timer.Stop()
	select {
	case <-o.done:
	case <-timer.C:
		o.host.probe(o.name, o.inst)
		return nil, o.fail("did not say what the run came to in time")
	}
	return o.outcome, o.err
}

// Close ends the observation and lets the plugin go. It is called once.
func (o *Observer) Close() {
	o.end()
	<-o.done
	o.host.leave(o.inst)
}

// listen takes what the plugin says.
func (o *Observer) listen() {
	defer close(o.done)
	for {
		m, err := o.stream.Recv()
		switch {
		case err != nil && o.outcome != nil && errors.Is(err, io.EOF):
			return
		case status.Code(err) == codes.Unimplemented:
			o.err = ErrNoObserver
			return
		case errors.Is(err, io.EOF):
			o.err = o.fail("did not say what the run came to")
			return
		case err != nil:
			o.inst.broke(err)
			o.outcome, o.err = nil, o.fail("failed: "+clean(status.Convert(err).Message(), maxMessage))
			return
		case m.GetOutcome() != nil && o.outcome != nil:
			o.outcome, o.err = nil, o.fail("said twice what the run came to")
			return
		case m.GetOutcome() != nil:
			if o.outcome, o.err = readOutcome(o.name, m.GetOutcome()); o.err != nil {
				return
			}
		case m.GetProgress() != nil:
			o.progress(clean(m.GetProgress().GetText(), maxProgress))
		}
	}
}

// broke sees to it that a plugin whose connection broke, and there is no other,
// is gone before anybody tries again.
func (i *instance) broke(err error) {
	if status.Code(err) == codes.Unavailable && i.proc.exit(exitPatience) == "" {
		i.proc.kill()
		<-i.proc.gone.Done()
	}
}

func (o *Observer) fail(what string) error {
	return &Error{Plugin: o.name, Kind: KindCall, Message: "Observe " + what}
}

var errorClasses = []adapter.ErrorClass{
	adapter.ErrorAuth, adapter.ErrorRateLimit, adapter.ErrorOverloaded, adapter.ErrorNetwork, adapter.ErrorTimeout,
	adapter.ErrorLimit, adapter.ErrorSession, adapter.ErrorConfig, adapter.ErrorOther,
}

// readOutcome checks what a plugin makes of a run. It is not believed.
func readOutcome(plugin string, m *adapterpb.Outcome) (*adapter.Outcome, error) {
	r := &report{plugin: plugin}
	session := sessionOf(r, m.GetSession())
	usage := adapter.Usage{
		InputTokens: m.GetUsage().GetInputTokens(), OutputTokens: m.GetUsage().GetOutputTokens(), CachedInputTokens: m.GetUsage().GetCachedInputTokens(),
	}
	if usage.InputTokens < 0 || usage.OutputTokens < 0 || usage.CachedInputTokens < 0 {
		r.rule("usage", "is negative")
	}
	if c := m.GetCostUsd(); math.IsNaN(c) || math.IsInf(c, 0) || c < 0 {
		r.rule("cost_usd", "is no amount of money")
	}
	class, said := adapter.ErrorClass(m.GetErrorClass()), clean(m.GetError(), maxMessage)
	switch {
	case said == "" && class != "":
		r.rule("error_class", "without an error")
	case said != "" && !slices.Contains(errorClasses, class):
		r.rule("error_class", "is none of %v", errorClasses)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return &adapter.Outcome{Session: session, Usage: usage, CostUSD: m.GetCostUsd(), Summary: clean(m.GetSummary(), maxSummary), Error: said, Class: class}, nil
}

func sessionOf(r *report, s *adapterpb.Session) *adapter.Session {
	if s == nil {
		return nil
	}
	if id := s.GetId(); len(id) > adapter.MaxSessionID || clean(id, adapter.MaxSessionID) != id {
		r.rule("session.id", "is no text of at most %d bytes", adapter.MaxSessionID)
	}
	if len(s.GetState()) > adapter.MaxState {
		r.rule("session.state", "takes %d bytes, limit %d", len(s.GetState()), adapter.MaxState)
	}
	return &adapter.Session{ID: s.GetId(), State: s.GetState()}
}

func sessionTo(s *adapter.Session) *adapterpb.Session {
	if s == nil {
		return nil
	}
	return &adapterpb.Session{Id: s.ID, State: s.State}
}

// needs checks what a plan wants of the sandbox.
func (r *report) needs(n *adapterpb.Needs) adapter.Needs {
	for _, list := range []struct {
		name  string
		paths []string
	}{{"read", n.GetRead()}, {"write", n.GetWrite()}, {"exec", n.GetExec()}} {
		if len(list.paths) > maxNeeds {
			r.rule("needs."+list.name, "has %d paths, limit %d", len(list.paths), maxNeeds)
			continue
		}
		for i, path := range list.paths {
			field := fmt.Sprintf("needs.%s[%d]", list.name, i)
			if len(path) == 0 || path[0] != '/' {
				r.rule(field, "is not an absolute path")
			}
			r.noNUL(field, path)
		}
	}
	return adapter.Needs{Read: n.GetRead(), Write: n.GetWrite(), Exec: n.GetExec(), Network: n.GetNetwork()}
}

// maxNeeds bounds the paths of one kind that a plan needs.
const maxNeeds = 50
