package protocol_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

func goodRequest() *protocol.ResolveRequest {
	return &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: nonce(), Agents: []protocol.AgentRequest{
		{AgentID: "agent-1", CompanyID: "company-1", BundleID: "bundle-1",
			Bindings: []protocol.Binding{{Name: "B", SecretID: "s"}, {Name: "A", SecretID: "s", Version: 7}}},
		{AgentID: "agent-2", CompanyID: "company-1"},
	}}
}

func TestRequest(t *testing.T) {
	q := goodRequest()
	got, err := protocol.DecodeRequest(must(t)(protocol.Marshal(q)))
	if err != nil || !reflect.DeepEqual(got, q) {
		t.Fatalf("%+v, %v", got, err)
	}
	full := goodRequest()
	full.Agents = full.Agents[:0]
	for i := range protocol.MaxAgents {
		a := protocol.AgentRequest{AgentID: fmt.Sprint("agent-", i), CompanyID: "c", BundleID: strings.Repeat("b", protocol.MaxIDLen)}
		for j := range protocol.MaxRefs {
			a.Bindings = append(a.Bindings, protocol.Binding{Name: fmt.Sprint("NAME_", j), SecretID: "0190a5c4-0000-7000-8000-000000000000"})
		}
		full.Agents = append(full.Agents, a)
	}
	if _, err := protocol.DecodeRequest(must(t)(protocol.Marshal(full))); err != nil {
		t.Errorf("as large as it may be: %v", err)
	}
}

// What is as large as it may be is taken, and not a byte more.
func TestLimits(t *testing.T) {
	id := strings.Repeat("i", protocol.MaxIDLen)
	full := protocol.RefError{Code: protocol.Code(id), Name: strings.Repeat("N", protocol.MaxNameLen), SecretID: id, Message: strings.Repeat("m", protocol.MaxMessageLen)}
	for name, bend := range map[string]func(*protocol.RefError){
		"":          func(*protocol.RefError) {},
		"code":      func(e *protocol.RefError) { e.Code += "i" },
		"name":      func(e *protocol.RefError) { e.Name += "N" },
		"secret id": func(e *protocol.RefError) { e.SecretID += "i" },
		"message":   func(e *protocol.RefError) { e.Message += "m" },
	} {
		e := full
		bend(&e)
		_, err := protocol.DecodeReply(must(t)(protocol.Marshal(&protocol.ResolveReply{Protocol: protocol.Version, Nonce: nonce(), HostID: id,
			Agents: []protocol.AgentReply{{AgentID: id, Errors: []protocol.RefError{e}}}})))
		if (err == nil) != (name == "") {
			t.Errorf("one byte more of %q: %v", name, err)
		}
	}
	data := must(t)(protocol.Marshal("text"))
	var s string
	if err := protocol.Unmarshal(data, len(data), &s); err != nil {
		t.Error(err)
	}
	if err := protocol.Unmarshal(data, len(data)-1, &s); !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("one byte more than the limit: %v", err)
	}
}

func TestRequestRefused(t *testing.T) {
	long := strings.Repeat("x", protocol.MaxIDLen+1)
	for _, c := range []struct {
		why  string
		bend func(q *protocol.ResolveRequest, a *protocol.AgentRequest)
	}{
		{"protocol version 2", func(q *protocol.ResolveRequest, _ *protocol.AgentRequest) { q.Protocol = 2 }},
		{"nonce of 0 bytes", func(q *protocol.ResolveRequest, _ *protocol.AgentRequest) { q.Nonce = nil }},
		{"nonce of 33 bytes", func(q *protocol.ResolveRequest, _ *protocol.AgentRequest) { q.Nonce = append(q.Nonce, 0) }},
		{"0 agents", func(q *protocol.ResolveRequest, _ *protocol.AgentRequest) { q.Agents = nil }},
		{"max number of elements", func(q *protocol.ResolveRequest, _ *protocol.AgentRequest) {
			q.Agents = make([]protocol.AgentRequest, protocol.MaxAgents+1)
		}},
		{"asked for twice", func(q *protocol.ResolveRequest, _ *protocol.AgentRequest) { q.Agents[1] = q.Agents[0] }},
		{"agent id of 0 bytes", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.AgentID = "" }},
		{"agent id of 129 bytes", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.AgentID = long }},
		{"company id of 0 bytes", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.CompanyID = "" }},
		{"company id of 129 bytes", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.CompanyID = long }},
		{"exceed their limit", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.BundleID = long }},
		{"max number of elements", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) {
			a.Bindings = make([]protocol.Binding, protocol.MaxRefs+1)
		}},
		{"A is bound twice", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.Bindings[0].Name = "A" }},
		{"secret id of 0 bytes", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.Bindings[0].SecretID = "" }},
		{"secret id of 129 bytes", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.Bindings[0].SecretID = long }},
		{"not a variable name", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) { a.Bindings[0].Name = "A B" }},
		{"name of 256 bytes", func(_ *protocol.ResolveRequest, a *protocol.AgentRequest) {
			a.Bindings[0].Name = strings.Repeat("A", protocol.MaxNameLen+1)
		}},
	} {
		q := goodRequest()
		c.bend(q, &q.Agents[0])
		data := must(t)(protocol.Marshal(q))
		if _, err := protocol.DecodeRequest(data); !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v", c.why, err)
		}
	}
	for name, data := range map[string][]byte{
		"too large":     make([]byte, protocol.MaxRequestSize+1),
		"nothing":       nil,
		"trailing byte": append(must(t)(protocol.Marshal(goodRequest())), 0),
	} {
		if _, err := protocol.DecodeRequest(data); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A refusal's text is for logs and terminals, whatever it says.
func TestRefusalText(t *testing.T) {
	err := error(&protocol.AgentError{AgentID: "a", Refs: []protocol.RefError{
		{Code: protocol.CodeDenied, Name: "A", SecretID: "s", Version: 3, Message: "no\x1b[2J\u202e\nüñï"},
		{Code: protocol.CodeNotAssigned},
		{Code: protocol.CodeDisabled, Name: "B", SecretID: "s"},
	}})
	const want = "A (secret s, version 3): denied: no?[2J??üñï; not_assigned; B (secret s, version latest): disabled"
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}
