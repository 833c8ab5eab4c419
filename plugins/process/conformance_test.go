package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adaptertest"
)

var cases = []adaptertest.Case{
	{Config: `{"command":"node","args":["a b","$HOME"],"cwd":"/srv"}`, Env: map[string]string{"A": "1", "NODE_OPTIONS": "--x"},
		Plan: &adapter.Plan{Argv: []string{"node", "a b", "$HOME"}, Dir: "/srv", Env: map[string]string{"A": "1", "NODE_OPTIONS": "--x"}}},
	{Config: `{"command":"/bin/true","cwd":"/"}`, Secrets: []string{"TOKEN"}},
	{Config: `{"command":"./x","args":[7],"extra":1}`, Problems: []string{"args", "extra"}},
	{Config: `{"command":"./x"}`, Problems: []string{"command", "cwd"}},
}

func TestConformance(t *testing.T) { adaptertest.Run(t, process{}, cases...) }

func TestConformanceOfTheBinary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "process")
	if out, err := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	adaptertest.RunBinary(t, path, cases...)
}
