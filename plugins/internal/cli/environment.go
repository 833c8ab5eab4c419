package cli

import (
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

// FindCommand says whether the program in command is there. env are the agent's
// plain variables. Its user may see more than we do, so nothing is more than a
// warning.
func FindCommand(command string, env map[string]string) adapter.Check {
	hidden := false
	for _, place := range places(command, env) {
		info, err := os.Stat(place)
		if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return adapter.Check{Level: adapter.LevelInfo, Field: "command", Message: "found"}
		}
		hidden = hidden || errors.Is(err, fs.ErrPermission)
	}
	switch {
	case hidden:
		return adapter.Check{Level: adapter.LevelInfo, Field: "command", Message: "cannot be looked for: the plugin's user may not go there"}
	case filepath.IsAbs(command):
		return adapter.Check{Level: adapter.LevelWarn, Field: "command", Message: "there is no such program", Hint: "install it, or correct the path"}
	}
	return adapter.Check{Level: adapter.LevelWarn, Field: "command", Message: "there is no such program in the agent's PATH",
		Hint: "install it, or give its absolute path"}
}

func places(command string, env map[string]string) (out []string) {
	if filepath.IsAbs(command) {
		return []string{command}
	}
	path, ok := env["PATH"]
	if !ok {
		path = defaultPath
	}
	for _, dir := range strings.Split(path, ":") {
		out = append(out, filepath.Join(dir, command))
	}
	return out
}

// CheckCwd says if the directory in cwd is not there.
func CheckCwd(cwd string) []adapter.Check {
	if info, err := os.Stat(cwd); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return []adapter.Check{{Level: adapter.LevelWarn, Field: "cwd", Message: "there is no such directory",
			Hint: "make it, and let the agent's user enter it"}}
	}
	return nil
}

// Checks are those of all such adapters. keys are the variables that can hold
// the tool's key.
func (c *Common) Checks(r *adapter.EnvironmentRequest, keys []string) []adapter.Check {
	checks := append([]adapter.Check{FindCommand(c.Command, r.Env)}, CheckCwd(c.Cwd)...)
	if info, err := os.Stat(c.InstructionsFilePath); c.InstructionsFilePath != "" && (errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular()) {
		checks = append(checks, adapter.Check{Level: adapter.LevelWarn, Field: "instructionsFilePath", Message: "there is no such file",
			Hint: "make it, and let the agent's user read it"})
	}
	if _, ok := Bound(keys, r.Env, r.SecretNames); !ok {
		checks = append(checks, adapter.Check{Level: adapter.LevelInfo, Field: "env", Message: "names no key of the model API, so the control plane's record of the agent must",
			Hint: "one of " + strings.Join(keys, ", ")})
	}
	return checks
}
