package plugins

import (
	"context"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// BenchmarkPlan is what a heartbeat pays for its plan: one call of the process
// plugin, which runs.
func BenchmarkPlan(b *testing.B) {
	h := newHost(b)
	request := adapter.PlanRequest{
		AgentID: "a", AgentName: "agent", CompanyID: "c", RunID: "r", Trigger: "timer",
		Config:      []byte(`{"command":"/usr/bin/node","args":["agent.js","--once"],"cwd":"/srv/agent"}`),
		Env:         map[string]string{"MODE": "fast", "REGION": "eu"},
		SecretNames: []string{"API_TOKEN", "DATABASE_URL"},
	}
	plan := func() {
		if _, err := h.Plan(context.Background(), "process", request); err != nil {
			b.Fatal(err)
		}
	}
	plan() // starts it
	for b.Loop() {
		plan()
	}
}

// BenchmarkStart is what the first heartbeat pays on top.
func BenchmarkStart(b *testing.B) {
	dir, start := pluginsDir(b), starterOf(b, sharedKeeper(b), openDir(b))
	for b.Loop() {
		h, err := NewHost(Options{Dir: dir, Open: trusted, Start: start, RuntimeDir: openDir(b)})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := h.Describe(context.Background(), "process"); err != nil {
			b.Fatal(err)
		}
		h.Close()
	}
}

// BenchmarkLoad is the part of a start that reads, seals and hashes.
func BenchmarkLoad(b *testing.B) {
	h := newHost(b)
	for b.Loop() {
		if err := h.Verify("process"); err != nil {
			b.Fatal(err)
		}
	}
}
