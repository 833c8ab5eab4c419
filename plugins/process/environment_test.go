package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tool"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ command, cwd, path, want string }{
		{dir + "/tool", dir, "", "[{info command found }]"},
		{"tool", dir, "/nowhere:" + dir, "[{info command found }]"},
		{"sh", dir, "", "[{info command found }]"},
		{"tool", dir, "", "[{warn command there is no such program in the agent's PATH install it, or give its absolute path}]"},
		{dir + "/data", dir, "", "[{warn command there is no such program install it, or correct the path}]"},
		{"sh", dir + "/data", "", "[{info command found } {warn cwd there is no such directory make it, and let the agent's user enter it}]"},
		{"sh", dir + "/none", "", "[{info command found } {warn cwd there is no such directory make it, and let the agent's user enter it}]"},
	} {
		config, err := json.Marshal(map[string]string{"command": c.command, "cwd": c.cwd})
		if err != nil {
			t.Fatal(err)
		}
		request := adapter.EnvironmentRequest{Config: config}
		if c.path != "" {
			request.Env = map[string]string{"PATH": c.path}
		}
		checks, err := process{}.TestEnvironment(context.Background(), request)
		if got := fmt.Sprint(checks); err != nil || got != c.want {
			t.Errorf("%s in %s: %s %v, want %s", c.command, c.cwd, got, err, c.want)
		}
	}
	if _, err := (process{}).TestEnvironment(context.Background(), adapter.EnvironmentRequest{Config: []byte(`{}`)}); len(fields(err)) != 2 {
		t.Errorf("an invalid configuration: %v", err)
	}
}
