package prompt

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

func request() *adapter.PlanRequest {
	return &adapter.PlanRequest{AgentID: "a1", AgentName: "Ada", CompanyID: "c1", RunID: "r1", Trigger: "wake", Task: "ISSUE-7",
		Wake: json.RawMessage(`{"reason":"comment","n":12345678901234567890,"flag":true,"none":null,"issue":{"id":"i1","tags":["x", "y"],"a-b":{"c":"deep"}}}`)}
}

func TestRender(t *testing.T) {
	for _, c := range []struct{ template, want string }{
		{"{{agentId}} {{ agentName }} {{companyId}} {{runId}} {{trigger}} {{task}}", "a1 Ada c1 r1 wake ISSUE-7"},
		{"{{agent.id}} {{agent.name}} {{agent.companyId}} {{company.id}} {{run.id}} {{run.source}}", "a1 Ada c1 c1 r1 wake"},
		{"{{wake.reason}} {{context.issue.id}} {{wake.issue.a-b.c}}", "comment i1 deep"},
		{"{{wake.n}} {{wake.flag}} {{wake.issue.tags}}", `12345678901234567890 true ["x","y"]`},
		{"[{{wake.none}}{{wake.missing}}{{wake.reason.too.deep}}{{wake.issue.tags.0}}]", "[]"},
		{"{ {agentId} } {{a b}} {{}} }}{{", "{ {agentId} } {{a b}} {{}} }}{{"},
		{"plain", "plain"},
	} {
		if p := Check(c.template); p != nil {
			t.Errorf("%s: %v", c.template, p)
		}
		if got := Render(c.template, request()); got != c.want {
			t.Errorf("%s: got %q, want %q", c.template, got, c.want)
		}
	}
}

// What fills a variable in is not a template again.
func TestRenderOnce(t *testing.T) {
	r := request()
	r.Task = "{{agentId}}"
	if got := Render("{{task}}", r); got != "{{agentId}}" {
		t.Error(got)
	}
}

func TestStandard(t *testing.T) {
	got := Render("", request())
	for _, want := range []string{"Ada", "a1", "r1", "ISSUE-7", `{"reason":"comment"`} {
		if !strings.Contains(got, want) {
			t.Errorf("nothing of %s in %s", want, got)
		}
	}
	if got := Render("", &adapter.PlanRequest{AgentName: "Ada"}); strings.Contains(got, "Task") || strings.Contains(got, "JSON") {
		t.Error(got)
	}
}

func TestCheck(t *testing.T) {
	for _, template := range []string{"{{agentid}}", "{{x}}", "{{wake.}}", "{{context..a}}", "{{.}}", "{{agentId}} {{sk-ant-secret}}", "{{agent.role}}"} {
		p := Check(template)
		if p == nil || p.Field != "promptTemplate" || strings.Contains(p.Message+p.Hint, "secret") || !strings.Contains(p.Hint, "agent.name") {
			t.Errorf("%s: %+v", template, p)
		}
	}
}
