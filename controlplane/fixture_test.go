package controlplane_test

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agent-launcher/agent-launcher/controlplane"
	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/open"
	"github.com/agent-launcher/agent-launcher/protocol/sign"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a control plane with one company and one enrolled host.
type fixture struct {
	*controlplanetest.Server
	company, host, token string
	key                  *open.Key
}

func newFixture(t *testing.T, change ...func(*controlplane.Options)) *fixture {
	t.Helper()
	f := &fixture{Server: controlplanetest.New(t, change...)}
	f.company = f.CreateCompany("Acme")
	f.host, f.token, f.key = f.enrol(t, f.company, "host-1")
	return f
}

func (f *fixture) enrol(t *testing.T, company, name string) (id, token string, key *open.Key) {
	t.Helper()
	public, private := controlplanetest.HostKey(t)
	key, err := open.ParseKey([]byte(private), make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	id, token = f.CreateHost(company, name, public)
	return id, token, key
}

// agent creates an agent on the fixture's host with this env.
func (f *fixture) agent(t *testing.T, env map[string]any) string {
	t.Helper()
	return f.CreateAgent(f.company, map[string]any{"name": "agent", "adapterType": "process", "hostId": f.host,
		"adapterConfig": map[string]any{"command": "/bin/true", "env": env}})
}

func ref(secret string, version ...any) map[string]any {
	m := map[string]any{"type": "secret_ref", "secretId": secret}
	if len(version) > 0 {
		m["version"] = version[0]
	}
	return m
}

func (f *fixture) ask(agent string, bindings ...protocol.Binding) protocol.AgentRequest {
	return protocol.AgentRequest{AgentID: agent, CompanyID: f.company, Bindings: bindings}
}

func bind(name, secret string, version uint32) protocol.Binding {
	return protocol.Binding{Name: name, SecretID: secret, Version: protocol.Selector(version)}
}

func request(agents ...protocol.AgentRequest) *protocol.ResolveRequest {
	q := &protocol.ResolveRequest{Protocol: protocol.Version, Nonce: make([]byte, protocol.NonceSize), Agents: agents}
	rand.Read(q.Nonce)
	return q
}

// resolve asks as the fixture's host and verifies the reply.
func (f *fixture) resolve(t *testing.T, agents ...protocol.AgentRequest) []protocol.AgentReply {
	t.Helper()
	q := request(agents...)
	res := f.Resolve(f.host, f.token, q)
	if res.Status != 200 || res.Header.Get("Content-Type") != protocol.ContentType {
		t.Fatalf("resolve: %d %s", res.Status, res.Body)
	}
	reply, err := sign.Verify(f.SigningKey, res.Body, q, f.host)
	if err != nil {
		t.Fatal(err)
	}
	return reply.Agents
}

// values opens an agent's bundle: NAME -> value.
func (f *fixture) values(t *testing.T, r protocol.AgentReply) map[string]string {
	t.Helper()
	if r.Bundle == nil {
		t.Fatalf("no bundle: %+v", r)
	}
	dst := make([]byte, r.Bundle.Meta.PlaintextSize())
	block, err := open.Open(f.key, r.Bundle.Meta, r.Bundle.Sealed, time.Now(), dst)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for entry := range strings.SplitSeq(strings.TrimSuffix(string(block), "\x00"), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		got[name] = value
	}
	return got
}

// codes is NAME:code of every error, or the agent's code alone.
func codes(r protocol.AgentReply) string {
	var all []string
	for _, e := range r.Errors {
		all = append(all, strings.TrimPrefix(e.Name+":"+string(e.Code), ":"))
	}
	return strings.Join(all, " ")
}

type clock struct{ now time.Time }

func (c *clock) set(o *controlplane.Options) {
	c.now = time.Now()
	o.Now = func() time.Time { return c.now }
}
