package controlplane

import (
	"context"
	"errors"
	"net/http"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

// result is what came of one agent of a resolve: the reply to the host and
// what will be kept of it.
type result struct {
	reply  protocol.AgentReply
	events []store.Event
	issued *store.Issued // nil unless a bundle was made
}

// resolve answers a host: for each agent a bundle, unchanged, or every reason
// why not. The reply leaves only after its access events are on disk.
func (s *Server) resolve(c *call) (answer, error) {
	q, err := protocol.DecodeRequest(c.body)
	if err != nil {
		return answer{}, &apiError{status: http.StatusBadRequest, message: "Cannot decode resolve request: " + cut(err.Error(), 300)}
	}
	select {
	case s.resolving <- struct{}{}:
		defer func() { <-s.resolving }()
	case <-c.Context().Done():
		return answer{}, c.Context().Err()
	}
	host := c.actor.host
	now := s.now()
	results, err := s.resolveAll(c.Context(), *host, q)
	if err != nil {
		return answer{}, err
	}
	if err := s.record(c.Context(), host.ID, results); err != nil {
		if errors.Is(err, store.ErrNotFound) { // the host was deleted meanwhile
			err = unknownToken()
		}
		return answer{}, err
	}
	reply := protocol.ResolveReply{Protocol: protocol.Version, Nonce: q.Nonce, HostID: host.ID, Time: now.Unix()}
	for _, r := range results {
		reply.Agents = append(reply.Agents, r.reply)
	}
	data, err := sign.Sign(s.signing(), &reply)
	return answer{status: http.StatusOK, cbor: data}, err
}

// record writes what of a resolve is kept, in one transaction.
func (s *Server) record(ctx context.Context, hostID string, results []result) error {
	now := s.now()
	return s.store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.SeeHost(hostID, store.Time(now)); err != nil {
			return err
		}
		if err := tx.PruneIssued(now.Unix()); err != nil {
			return err
		}
		for _, r := range results {
			if r.issued != nil {
				if err := tx.SetIssued(*r.issued); err != nil {
					return err
				}
			}
			if err := tx.AddEvents(r.events); err != nil {
				return err
			}
		}
		return tx.BoundEvents(hostID, s.keepEvents)
	})
}

// Sizes in bytes for keeping a reply below protocol.MaxReplySize.
const (
	replyHead  = 4096 // signature and everything but the agents
	refusalMax = 1024 // an agent's answer when its bundle does not fit
)

// resolveAll resolves every agent by itself: one that fails does not touch the
// others. An error is the request's end.
func (s *Server) resolveAll(ctx context.Context, host store.Host, q *protocol.ResolveRequest) ([]result, error) {
	results := make([]result, len(q.Agents))
	left := protocol.MaxReplySize - replyHead - refusalMax*len(q.Agents)
	for i := range q.Agents {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		a := s.newAttempt(host, &q.Agents[i], q.Nonce)
		r := a.run(ctx)
		data, err := protocol.Marshal(&r.reply)
		if err != nil {
			return nil, err
		}
		if len(data) > left {
			r = a.refuse(protocol.CodeTooLarge, "the reply to this request is full: ask for fewer agents at once")
			data = nil // its place is reserved
		}
		left -= len(data)
		results[i] = r
	}
	return results, nil
}
