package controlplane

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// The rules, in this order. The agent's own record decides; what the host asks
// for can only narrow it.
//
//  1. The agent is of the host's company and of the company it is asked for,
//     assigned to this host, and active.
//  2. Each binding asked for is in the record under that name, with that
//     secret and that version. None asked for means all of the record's.
//  3. Each secret is of the same company, not deleted, active, and not of
//     purpose server.
//  4. The version exists: the pinned one, or the latest.
//
// Rule 1 stops at the first failure; of rules 2 to 4 every failing binding is
// reported.

// verdict is what the rules say about one binding.
type verdict struct {
	binding protocol.Binding
	secret  store.Secret
	version uint32 // 0 where none was found
	size    int    // of the value, bytes
	refusal *protocol.RefError
}

// agentRefusal is rule 1's no.
type agentRefusal struct {
	code    protocol.Code
	message string
}

// judgeAgent applies rule 1. The agent is returned whenever it may be named in
// an access event.
func judgeAgent(tx *store.Tx, host store.Host, q *protocol.AgentRequest) (*store.Agent, *agentRefusal, error) {
	a, err := tx.Agent(q.AgentID)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, nil, err
	case err != nil || a.CompanyID != host.CompanyID || q.CompanyID != host.CompanyID:
		return nil, &agentRefusal{protocol.CodeAgentNotFound, "no such agent in the company of this host"}, nil
	case a.HostID == nil:
		return &a, &agentRefusal{protocol.CodeNotAssigned, "the agent is assigned to no host"}, nil
	case *a.HostID != host.ID:
		return &a, &agentRefusal{protocol.CodeNotAssigned, "the agent is assigned to another host"}, nil
	case a.Status != statusActive:
		return &a, &agentRefusal{protocol.CodeAgentDisabled, "the agent is " + a.Status}, nil
	}
	return &a, nil, nil
}

// judge applies rules 2 to 4 to every binding asked for and returns the
// verdicts sorted by name.
func judge(tx *store.Tx, company string, asked, record []protocol.Binding) ([]verdict, error) {
	if len(asked) == 0 {
		asked = record
	}
	verdicts := make([]verdict, 0, len(asked))
	for _, b := range asked {
		v := verdict{binding: b, refusal: judgeRecord(b, record)}
		if v.refusal == nil {
			if err := v.judgeSecret(tx, company); err != nil {
				return nil, err
			}
		}
		verdicts = append(verdicts, v)
	}
	slices.SortFunc(verdicts, func(a, b verdict) int { return cmp.Compare(a.binding.Name, b.binding.Name) })
	return verdicts, nil
}

// judgeRecord applies rule 2.
func judgeRecord(asked protocol.Binding, record []protocol.Binding) *protocol.RefError {
	i := slices.IndexFunc(record, func(b protocol.Binding) bool { return b.Name == asked.Name })
	if i < 0 {
		return refusal(asked, protocol.CodeDenied, "the host asks for secret %s version %s, the agent's record binds nothing under this name",
			cut(asked.SecretID, 64), asked.Version)
	}
	if b := record[i]; b != asked {
		return refusal(asked, protocol.CodeDenied, "the host asks for secret %s version %s, the agent's record binds secret %s version %s",
			cut(asked.SecretID, 64), asked.Version, b.SecretID, b.Version)
	}
	return nil
}

// judgeSecret applies rules 3 and 4.
func (v *verdict) judgeSecret(tx *store.Tx, company string) error {
	var err error
	v.secret, err = tx.Secret(v.binding.SecretID)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	case err != nil || v.secret.CompanyID != company:
		v.refusal = refusal(v.binding, protocol.CodeNotFound, "no such secret in this company: it never existed or was deleted")
		return nil
	case v.secret.Purpose == purposeServer:
		v.refusal = refusal(v.binding, protocol.CodeDenied, "secrets of purpose server are never sealed to a host")
		return nil
	case v.secret.Status != statusActive:
		v.refusal = refusal(v.binding, protocol.CodeDisabled, "the secret is %s", v.secret.Status)
		return nil
	}
	version := v.secret.Latest
	if v.binding.Version != protocol.Latest {
		version = uint32(v.binding.Version)
	}
	v.size, err = tx.VersionSize(v.secret.ID, version)
	if errors.Is(err, store.ErrNotFound) {
		v.refusal = refusal(v.binding, protocol.CodeVersionNotFound, "version %d does not exist, the latest is %d", version, v.secret.Latest)
		return nil
	}
	v.version = version
	return err
}

func refusal(b protocol.Binding, code protocol.Code, format string, args ...any) *protocol.RefError {
	return &protocol.RefError{Code: code, Name: b.Name, SecretID: b.SecretID, Version: b.Version, Message: fmt.Sprintf(format, args...)}
}
