package plugins

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// Describe asks the plugin of adapterType what it is. The error is *Error.
func (h *Host) Describe(ctx context.Context, adapterType string) (*adapter.Description, error) {
	var reply *adapterpb.DescribeResponse
	err := h.call(ctx, adapterType, "Describe", func(ctx context.Context, c adapterpb.AdapterClient) (err error) {
		reply, err = c.Describe(ctx, &adapterpb.DescribeRequest{})
		return err
	})
	if err != nil {
		return nil, err
	}
	return readDescription(adapterType, reply)
}

// describe asks an instance that nobody else knows yet.
func describe(ctx context.Context, name string, inst *instance) (*adapter.Description, error) {
	reply, err := inst.rpc.Describe(ctx, &adapterpb.DescribeRequest{})
	if err != nil {
		return nil, &Error{Plugin: name, Kind: KindStart, Message: "cannot describe itself: " + clean(status.Convert(err).Message(), maxMessage)}
	}
	return readDescription(name, reply)
}

// Plan asks the plugin of adapterType what to run. What comes back keeps the
// rules of adapter.Plan. The error is *Error, or several of them joined.
func (h *Host) Plan(ctx context.Context, adapterType string, r adapter.PlanRequest) (*adapter.Plan, error) {
	request := &adapterpb.PlanRequest{
		AgentId: r.AgentID, AgentName: r.AgentName, CompanyId: r.CompanyID, RunId: r.RunID, Trigger: r.Trigger,
		Config: r.Config, Env: r.Env, SecretNames: r.SecretNames, Task: r.Task, Wake: r.Wake, Session: sessionTo(r.Session),
	}
	if err := fits(adapterType, request); err != nil {
		return nil, err
	}
	var reply *adapterpb.PlanResponse
	err := h.call(ctx, adapterType, "Plan", func(ctx context.Context, c adapterpb.AdapterClient) (err error) {
		reply, err = c.Plan(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return readPlan(adapterType, &r, reply)
}

// call runs do against the plugin, within the call's deadline.
func (h *Host) call(ctx context.Context, name, method string, do func(context.Context, adapterpb.AdapterClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, h.opts.CallTimeout)
	defer cancel()
	inst, err := h.get(ctx, name)
	if err != nil {
		return err
	}
	defer h.leave(inst)
	// A child of the plugin may hold the connection open beyond its end.
	callCtx, end := context.WithCancel(ctx)
	defer end()
	defer context.AfterFunc(inst.proc.gone, end)()
	if err := do(callCtx, inst.rpc); err != nil {
		return h.callError(ctx, inst, name, method, err)
	}
	return nil
}

// callError says why a call has no answer, and ends a plugin that cannot give
// any more.
func (h *Host) callError(ctx context.Context, inst *instance, name, method string, err error) error {
	e := &Error{Plugin: name, Kind: KindCall}
	code := status.Code(err)
	switch {
	case h.ctx.Err() != nil:
		return closedError(name)
	case ctx.Err() == context.Canceled:
		e.Message, e.cause = method+" was given up", ctx.Err()
	case code == codes.Unavailable, !inst.proc.alive(): // the connection broke, and there is no other
		exit := inst.proc.exit(exitPatience)
		if exit == "" {
			inst.proc.kill()
			exit = "it closed the connection"
			<-inst.proc.gone.Done()
		}
		e.Message = fmt.Sprintf("the plugin ended (%s) during %s", exit, method)
	case ctx.Err() != nil, code == codes.DeadlineExceeded, code == codes.Canceled: // the plugin's clock may be first
		h.probe(name, inst)
		e.Message, e.cause = method+" was not answered in time", context.DeadlineExceeded
	case code == codes.ResourceExhausted:
		e.Kind, e.Field = KindAnswer, method
		e.Message = fmt.Sprintf("above %d bytes", adapter.MaxMessageSize)
	case code == codes.Unimplemented:
		e.Message = "the plugin has no " + method
	default:
		e.Message = method + ": " + clean(status.Convert(err).Message(), maxMessage)
	}
	return e
}

// probe ends a plugin that gives no sign of life: stopped, or busy for ever.
// One that is merely slow with a call is kept.
func (h *Host) probe(name string, inst *instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() != nil || !inst.probing.CompareAndSwap(false, true) {
		return
	}
	h.wg.Go(func() {
		defer inst.probing.Store(false)
		ctx, cancel := context.WithTimeout(h.ctx, probeTimeout)
		defer cancel()
		if inst.ping(ctx) == nil || h.ctx.Err() != nil {
			return
		}
		inst.proc.kill()
		h.opts.Log(Entry{Plugin: name, Level: "warn", Message: "ended: it gave no sign of life"})
	})
}
