package controlplane

import (
	"context"
	"errors"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// refuse refuses the agent as a whole.
func (a *attempt) refuse(code protocol.Code, message string) result {
	outcome := outcomeDenied
	if code == protocol.CodeInternal {
		outcome = outcomeError
	}
	return result{
		reply:  protocol.AgentReply{AgentID: a.q.AgentID, Errors: []protocol.RefError{{Code: code, Message: message}}},
		events: a.events(outcome, code),
	}
}

// fail answers for a failure of the control plane: the cause goes to the log.
func (a *attempt) fail(cause error) result {
	if !errors.Is(cause, context.Canceled) { // else the host hung up
		a.log.Error("cannot resolve agent", zap.String("agent", cut(a.q.AgentID, 64)), zap.Error(cause))
	}
	return a.refuse(protocol.CodeInternal, "the control plane failed: its log says why")
}

// refuseRefs reports every ref that was refused.
func (a *attempt) refuseRefs() result {
	r := result{reply: protocol.AgentReply{AgentID: a.q.AgentID}}
	for _, v := range a.verdicts {
		switch {
		case v.refusal == nil:
			r.events = append(r.events, a.event(v, outcomeWithheld, ""))
			continue
		case v.refusal.Code == protocol.CodeInternal:
			r.events = append(r.events, a.event(v, outcomeError, v.refusal.Code))
		default:
			r.events = append(r.events, a.event(v, outcomeDenied, v.refusal.Code))
		}
		r.reply.Errors = append(r.reply.Errors, *v.refusal)
	}
	return r
}

// events is one event per binding, or one without a secret where there is
// none: every resolve leaves a trace.
func (a *attempt) events(outcome string, code protocol.Code) []store.Event {
	if len(a.verdicts) == 0 {
		return []store.Event{a.newEvent(outcome, code)}
	}
	all := make([]store.Event, len(a.verdicts))
	for i, v := range a.verdicts {
		all[i] = a.event(v, outcome, code)
	}
	return all
}

func (a *attempt) event(v verdict, outcome string, code protocol.Code) store.Event {
	e := a.newEvent(outcome, code)
	path := "env." + v.binding.Name
	e.SecretID, e.ConfigPath = &v.binding.SecretID, &path
	version := v.version
	if version == 0 {
		version = uint32(v.binding.Version)
	}
	if version != 0 {
		e.Version = &version
	}
	return e
}

func (a *attempt) newEvent(outcome string, code protocol.Code) store.Event {
	e := store.Event{CompanyID: a.host.CompanyID, HostID: a.host.ID, ConsumerType: "agent", ConsumerID: a.q.AgentID,
		Outcome: outcome, CreatedAt: store.Time(a.now)}
	if code != "" {
		text := string(code)
		e.ErrorCode = &text
	}
	return e
}
