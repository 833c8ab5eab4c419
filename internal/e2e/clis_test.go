//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// cli is a real command-line tool as an agent.
type cli struct {
	name string
	tool string   // below node_modules
	args []string // of the tool
	code int
	want string // in its output
}

const (
	claude      = "@anthropic-ai/claude-code-linux-x64/claude"
	codex       = "@openai/codex-linux-x64/vendor/x86_64-unknown-linux-musl/bin/codex"
	codexOnNode = ".bin/codex" // a script for node that starts codex, which is what npm puts on PATH
)

// No network is asked for: without a key both end before their first request.
func clis() []cli {
	return []cli{
		{"claude version", claude, []string{"--version"}, 0, "2.1.330 (Claude Code)"},
		{"claude help", claude, []string{"--help"}, 0, "Usage: claude"},
		{"claude without a key", claude, []string{"-p", "hello"}, 1, "Not logged in"},
		{"codex version", codex, []string{"--version"}, 0, "codex-cli 0.169.0"},
		{"codex help", codex, []string{"--help"}, 0, "Usage: codex"},
		{"codex without a key", codex, []string{"exec", "--skip-git-repo-check", "--disable", "plugins",
			"-c", `model_provider="none"`, "-c", `model_providers.none={name="none", base_url="http://127.0.0.1:1", env_key="NO_SUCH_KEY", wire_api="responses"}`,
			"hello"}, 1, "Missing environment variable: `NO_SUCH_KEY`"},
		{"codex from npm", codexOnNode, []string{"--version"}, 0, "codex-cli 0.169.0"},
	}
}

// The tools that adapters start run under the default profile, whoever they run as.
func TestCLIs(t *testing.T) {
	modules := installTools(t)
	dirs, _ := find(t, []string{"node"}, true)
	for _, as := range identities() {
		t.Run(as.name, func(t *testing.T) {
			h := newHost(t)
			if as.uidRange != nil {
				h.configure(map[string]any{"uidRange": as.uidRange})
			}
			for _, c := range clis() {
				t.Run(c.name, func(t *testing.T) {
					config := map[string]any{
						"command": filepath.Join(modules, c.tool), "args": c.args, "cwd": h.path("work"),
						"env": map[string]any{"PATH": path(dirs), "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"},
					}
					out, code := h.exec(t, strings.ReplaceAll(c.name, " ", "-"), config, as.user, nil)
					if code != c.code || !strings.Contains(out, c.want) {
						t.Errorf("exit %d, want %d\n%s\nnothing of %q", code, c.code, out, c.want)
					}
				})
			}
		})
	}
}
