// Package prompt makes the prompt of a run from a template. Variables are
// written {{name}} and named as Paperclip names them; what else stands in braces
// is left as it is.
package prompt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// variable is what Paperclip takes for one.
var variable = regexp.MustCompile(`{{\s*([a-zA-Z0-9_.-]+)\s*}}`)

// known are the variables beside wake.X and context.X.
var known = []struct {
	name  string
	value func(*adapter.PlanRequest) string
}{
	{"agentId", func(r *adapter.PlanRequest) string { return r.AgentID }},
	{"agentName", func(r *adapter.PlanRequest) string { return r.AgentName }},
	{"companyId", func(r *adapter.PlanRequest) string { return r.CompanyID }},
	{"runId", func(r *adapter.PlanRequest) string { return r.RunID }},
	{"trigger", func(r *adapter.PlanRequest) string { return r.Trigger }},
	{"task", func(r *adapter.PlanRequest) string { return r.Task }},
	{"wake", func(r *adapter.PlanRequest) string { return string(r.Wake) }},
	{"agent.id", func(r *adapter.PlanRequest) string { return r.AgentID }},
	{"agent.name", func(r *adapter.PlanRequest) string { return r.AgentName }},
	{"agent.companyId", func(r *adapter.PlanRequest) string { return r.CompanyID }},
	{"company.id", func(r *adapter.PlanRequest) string { return r.CompanyID }},
	{"run.id", func(r *adapter.PlanRequest) string { return r.RunID }},
	{"run.source", func(r *adapter.PlanRequest) string { return r.Trigger }},
	{"context", func(r *adapter.PlanRequest) string { return string(r.Wake) }},
}

// Variables lists the known ones, for people.
func Variables() string {
	var names []string
	for _, k := range known {
		names = append(names, k.name)
	}
	return strings.Join(names, ", ") + ", and wake.X or context.X for a member X of what the waker said"
}

// Check says what is wrong with the template in promptTemplate, nil if nothing
// is. It does not quote a name that it does not know.
func Check(template string) *adapter.Problem {
	for i, match := range variable.FindAllStringSubmatch(template, -1) {
		if _, ok := lookup(match[1]); !ok {
			return &adapter.Problem{Field: "promptTemplate", Message: fmt.Sprintf("its variable no. %d is not known", i+1), Hint: "there are " + Variables()}
		}
	}
	return nil
}

// Render fills in a template that Check accepts. An empty one stands for a
// sentence about agent and run, with the task and what the waker said.
func Render(template string, r *adapter.PlanRequest) string {
	if template == "" {
		template = standard(r)
	}
	return variable.ReplaceAllStringFunc(template, func(text string) string {
		value, ok := lookup(variable.FindStringSubmatch(text)[1])
		if !ok {
			return text
		}
		return value(r)
	})
}

func standard(r *adapter.PlanRequest) string {
	text := "You are agent {{agentName}} ({{agentId}}). This is run {{runId}}, started by {{trigger}}. Continue your work."
	if r.Task != "" {
		text += "\n\nTask: {{task}}"
	}
	if len(r.Wake) > 0 {
		text += "\n\nWhoever woke you says, as JSON:\n{{wake}}"
	}
	return text
}

func lookup(name string) (value func(*adapter.PlanRequest) string, ok bool) {
	for _, k := range known {
		if k.name == name {
			return k.value, true
		}
	}
	first, path, _ := strings.Cut(name, ".")
	if (first != "wake" && first != "context") || slices.Contains(strings.Split(path, "."), "") {
		return nil, false
	}
	return func(r *adapter.PlanRequest) string { return member(r.Wake, strings.Split(path, ".")) }, true
}

// member is the text of a member of an object: a string without its quotes,
// anything else as JSON. What is not there is empty, as not every run is woken
// by somebody.
func member(object json.RawMessage, path []string) string {
	for _, name := range path {
		var members map[string]json.RawMessage
		if json.Unmarshal(object, &members) != nil {
			return ""
		}
		object = members[name]
	}
	var text string
	if json.Unmarshal(object, &text) == nil {
		return text // of null, too
	}
	var compact bytes.Buffer
	if json.Compact(&compact, object) != nil {
		return ""
	}
	return compact.String()
}
