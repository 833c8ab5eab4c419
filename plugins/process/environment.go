package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// defaultPath is what every agent's PATH is unless its configuration says
// otherwise.
const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// TestEnvironment implements adapter.EnvironmentTester. The agent's user may see
// more than we do, so nothing that it finds is more than a warning.
func (process) TestEnvironment(_ context.Context, r adapter.EnvironmentRequest) ([]adapter.Check, error) {
	c, err := readConfig(r.Config)
	if err != nil {
		return nil, err
	}
	path := defaultPath
	if own, ok := r.Env["PATH"]; ok {
		path = own
	}
	checks := []adapter.Check{c.checkCommand(path)}
	if info, err := os.Stat(c.Cwd); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		checks = append(checks, adapter.Check{Level: adapter.LevelWarn, Field: "cwd", Message: "there is no such directory",
			Hint: "make it, and let the agent's user enter it"})
	}
	return checks, nil
}

func (c *config) checkCommand(path string) adapter.Check {
	places := []string{c.Command}
	if !filepath.IsAbs(c.Command) {
		places = nil
		for _, dir := range strings.Split(path, ":") {
			places = append(places, filepath.Join(dir, c.Command))
		}
	}
	hidden := false
	for _, place := range places {
		info, err := os.Stat(place)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return adapter.Check{Level: adapter.LevelInfo, Field: "command", Message: "found"}
		}
		hidden = hidden || errors.Is(err, fs.ErrPermission)
	}
	switch {
	case hidden:
		return adapter.Check{Level: adapter.LevelInfo, Field: "command", Message: "cannot be looked for by the launcher's user"}
	case filepath.IsAbs(c.Command):
		return adapter.Check{Level: adapter.LevelWarn, Field: "command", Message: "there is no such program", Hint: "install it, or correct the path"}
	}
	return adapter.Check{Level: adapter.LevelWarn, Field: "command", Message: "there is no such program in the agent's PATH",
		Hint: "install it, or give its absolute path"}
}
