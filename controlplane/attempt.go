package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/controlplane/keys"
	"github.com/agent-launcher/agent-launcher/controlplane/store"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
)

// attempt is the resolve of one agent.
type attempt struct {
	*Server
	host  store.Host
	q     *protocol.AgentRequest
	nonce []byte
	now   time.Time

	verdicts    []verdict
	fingerprint []byte   // of refs and versions that would be delivered
	unchanged   bool     // the bundle that the host has still holds
	ciphertexts [][]byte // one per verdict, if a bundle is to be made
}

func (s *Server) newAttempt(host store.Host, q *protocol.AgentRequest, nonce []byte) *attempt {
	return &attempt{Server: s, host: host, q: q, nonce: nonce, now: s.now()}
}

// run resolves the agent. Everything is read in one read transaction, so that
// all values are of one moment; sealing happens after it.
func (a *attempt) run(ctx context.Context) result {
	var no *agentRefusal
	err := a.store.View(ctx, func(tx *store.Tx) (err error) {
		no, err = a.read(tx)
		return err
	})
	switch {
	case err != nil:
		return a.fail(err)
	case no != nil:
		return a.refuse(no.code, no.message)
	case a.refused():
		return a.refuseRefs()
	case a.unchanged:
		return result{
			reply:  protocol.AgentReply{AgentID: a.q.AgentID, Unchanged: a.q.BundleID},
			events: a.events(outcomeUnchanged, ""),
		}
	}
	return a.seal()
}

// read reads the records, applies the rules and fetches what will be sealed.
func (a *attempt) read(tx *store.Tx) (*agentRefusal, error) {
	agent, no, err := judgeAgent(tx, a.host, a.q)
	if err != nil || agent == nil {
		return no, err
	}
	record, err := bindings(agent.AdapterConfig)
	if err != nil { // rules that are younger than the record
		return &agentRefusal{protocol.CodeDenied, "the agent's record breaks a rule: " + cut(err.Error(), 300)}, nil
	}
	if no != nil {
		for _, b := range record {
			a.verdicts = append(a.verdicts, verdict{binding: b})
		}
		return no, nil
	}
	if a.verdicts, err = judge(tx, agent.CompanyID, a.q.Bindings, record); err != nil || a.refused() {
		return nil, err
	}
	if n := a.size(); n > protocol.MaxPlaintextSize {
		return &agentRefusal{protocol.CodeTooLarge, fmt.Sprintf("the environment block has %d bytes, the limit is %d", n, protocol.MaxPlaintextSize)}, nil
	}
	if a.fingerprint, err = a.print(); err != nil {
		return nil, err
	}
	if a.unchanged, err = a.holds(tx); err != nil || a.unchanged {
		return nil, err
	}
	return nil, a.fetch(tx)
}

func (a *attempt) fetch(tx *store.Tx) error {
	a.ciphertexts = make([][]byte, len(a.verdicts))
	for i, v := range a.verdicts {
		version, err := tx.Version(v.secret.ID, v.version)
		if err != nil {
			return err
		}
		a.ciphertexts[i] = version.Ciphertext
	}
	return nil
}

func (a *attempt) refused() bool {
	for _, v := range a.verdicts {
		if v.refusal != nil {
			return true
		}
	}
	return false
}

// size is that of the environment block NAME=value\0...
func (a *attempt) size() int {
	n := 0
	for _, v := range a.verdicts {
		n += len(v.binding.Name) + 1 + v.size + 1
	}
	return n
}

// print is a hash of what would be delivered: names, secrets and versions.
// Versions never change, so equal prints mean equal values.
func (a *attempt) print() ([]byte, error) {
	refs := make([]any, len(a.verdicts))
	for i, v := range a.verdicts {
		refs[i] = []any{v.binding.Name, v.secret.ID, v.version}
	}
	data, err := protocol.Marshal([]any{a.host.CompanyID, refs})
	sum := sha256.Sum256(data)
	return sum[:], err
}

// holds reports whether the bundle that the host has is the newest that it was
// given for this agent, sealed to its present key, with at least half of its
// life left, and equal to what would be delivered now.
func (a *attempt) holds(tx *store.Tx) (bool, error) {
	if a.q.BundleID == "" {
		return false, nil
	}
	had, err := tx.Issued(a.q.AgentID, a.host.ID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	left := time.Unix(had.ExpiresAt, 0).Sub(a.now)
	return had.BundleID == a.q.BundleID && left >= a.ttl/2 &&
		bytes.Equal(had.KeyID, protocol.KeyID(a.host.PublicKey)) &&
		bytes.Equal(had.Fingerprint, a.fingerprint), err
}

// seal decrypts the values, seals them to the host and wipes them.
func (a *attempt) seal() result {
	values := make([]seal.Value, len(a.verdicts))
	defer func() {
		for _, v := range values {
			clear(v.Bytes)
		}
	}()
	for i := range a.verdicts {
		v := &a.verdicts[i]
		id := keys.ID{Company: v.secret.CompanyID, Secret: v.secret.ID, Version: v.version}
		b, err := a.master.Decrypt(id, v.secret.DataKey, a.ciphertexts[i])
		if err == nil && len(b) != v.size {
			err = errors.New("stored size is not the value's")
		}
		values[i] = seal.Value{Name: v.binding.Name, SecretID: v.secret.ID, Version: v.version, Bytes: b}
		if err != nil {
			a.log.Error("cannot decrypt", zap.String("secret", v.secret.ID), zap.Uint32("version", v.version), zap.Error(err))
			v.refusal = refusal(v.binding, protocol.CodeInternal, "the control plane cannot decrypt version %d", v.version)
		}
	}
	if a.refused() {
		return a.refuseRefs()
	}
	return a.bundle(values)
}

func (a *attempt) bundle(values []seal.Value) result {
	b, err := seal.Seal(a.host.PublicKey, protocol.Meta{
		BundleID: newID(), CompanyID: a.host.CompanyID, AgentID: a.q.AgentID, HostID: a.host.ID,
		Nonce: a.nonce, ExpiresAt: a.now.Add(a.ttl).Unix(),
	}, values)
	if err != nil {
		return a.fail(err)
	}
	return result{
		reply:  protocol.AgentReply{AgentID: a.q.AgentID, Bundle: b},
		events: a.events(outcomeSuccess, ""),
		issued: &store.Issued{AgentID: a.q.AgentID, HostID: a.host.ID, BundleID: b.Meta.BundleID,
			KeyID: b.Meta.KeyID, Fingerprint: a.fingerprint, ExpiresAt: b.Meta.ExpiresAt},
	}
}
