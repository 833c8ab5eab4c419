// Package adaptertest is a conformance kit for adapter plugins. A plugin that
// passes is one that the daemon can work with:
//
//	func TestConformance(t *testing.T) {
//		adaptertest.Run(t, myAdapter{}, adaptertest.Case{Config: `{"model":"x"}`})
//	}
//
// RunBinary does the same to a finished program, in whatever language it is
// written, over the handshake that the daemon uses.
package adaptertest

import (
	"path/filepath"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// Case is one agent's configuration and what the adapter should make of it.
// The kit also tries many that are derived from it, so each case should show
// other fields. At least one without Problems is needed.
//
// For an adapter.Observer, Output is what a run of the case prints: best what
// the real tool did. The kit also tries it cut, spoiled and at odd ends.
type Case struct {
	Name     string            // of the case; may be empty
	Config   string            // PlanRequest.Config: one JSON object
	Env      map[string]string // PlanRequest.Env
	Secrets  []string          // PlanRequest.SecretNames
	Task     string            // PlanRequest.Task
	Wake     string            // PlanRequest.Wake: one JSON object, or empty
	Session  *adapter.Session  // PlanRequest.Session
	Problems []string          // the fields of all problems that Plan must report, in any order; nil: it must plan
	Plan     *adapter.Plan     // what it must plan, Carry aside; nil: any plan that keeps the rules

	Output string           // of the run; empty, with an Exit of 0 and no Want: it is not observed
	Exit   adapter.Exit     // how the run ended
	Want   *adapter.Outcome // what it came to, of its session the ID alone; nil: any outcome that keeps the rules
}

// Run tests an adapter in this process.
func Run(t *testing.T, a adapter.Adapter, cases ...Case) {
	t.Helper()
	c, end := serve(a, patience)
	run(t, &kit{client: c, end: end, cases: cases})
}

// RunBinary tests the plugin at path, which is started as the daemon starts
// it: with nothing of our environment, over mutual TLS. Its file's name must be
// its type.
func RunBinary(t *testing.T, path string, cases ...Case) {
	t.Helper()
	c, end, err := start(t, path)
	if err != nil {
		t.Fatalf("cannot start the plugin: %v", err)
	}
	run(t, &kit{client: c, end: end, cases: cases, typ: filepath.Base(path)})
}

func run(t *testing.T, k *kit) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) {
			t.Helper()
			k.fault = t.Errorf
			c.do(k)
		})
	}
}
