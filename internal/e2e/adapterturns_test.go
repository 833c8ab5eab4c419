//go:build e2e

package e2e

// turn is one run of a real tool as its adapter plans it.
type turn struct {
	name   string         // of the recording
	mode   string         // of the model stub; empty: nobody listens
	config map[string]any // beside command and cwd
	env    map[string]string
	resume string // the turn whose session it resumes; "none": one that is not there
	kill   bool   // once its request is there
	key    string // the secret's name; empty: the adapter's usual

	exit    int
	summary string // of the outcome
	class   string
	fails   string // in the outcome's error
	input   int64  // tokens of this run
	cached  int64
	output  int64
	session bool // there is one to resume
}

// tool is a command-line tool with its adapter.
type tool struct {
	adapter string
	path    string // below node_modules
	key     string // the secret's name
	baseURL string // the variable
	suffix  string // of the base URL
	arrives string // before the key, in the header
	cost    bool   // it says what runs cost
	turns   []turn
}

// As root, claude refuses to skip permissions outside of a sandbox.
func sandboxed() map[string]string { return map[string]string{"IS_SANDBOX": "1"} }

func quick(more ...string) map[string]string {
	env := map[string]string{"IS_SANDBOX": "1", "CLAUDE_CODE_MAX_RETRIES": "1"}
	for i := 0; i+1 < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

func tools() []tool {
	return []tool{{
		adapter: "claude_local", path: claude, key: "ANTHROPIC_API_KEY", baseURL: "ANTHROPIC_BASE_URL", cost: true,
		turns: []turn{
			{name: "first", mode: "ok", env: sandboxed(), summary: "STUB turns=1", input: 12, cached: 3, output: 5, session: true},
			{name: "second", mode: "ok", env: sandboxed(), resume: "first", summary: "STUB turns=2", input: 12, cached: 3, output: 5, session: true},
			{name: "third", mode: "ok", env: sandboxed(), resume: "second", summary: "STUB turns=3", input: 12, cached: 3, output: 5, session: true,
				config: map[string]any{"effort": "low", "dangerouslySkipPermissions": false, "extraArgs": []string{"--allowedTools", "Read"}}},
			{name: "other_model", mode: "ok", env: sandboxed(), resume: "first", config: map[string]any{"model": "sonnet"}, summary: "STUB turns=1", input: 12, cached: 3, output: 5, session: true},
			{name: "instructions", mode: "ok", env: sandboxed(), config: map[string]any{"instructionsFilePath": "AGENTS.md"}, summary: "STUB turns=1", input: 12, cached: 3, output: 5, session: true},
			{name: "auth_token", mode: "ok", env: sandboxed(), key: "ANTHROPIC_AUTH_TOKEN", summary: "STUB turns=1", input: 12, cached: 3, output: 5, session: true},
			{name: "max_turns", mode: "tool", env: sandboxed(), config: map[string]any{"maxTurnsPerRun": 2}, exit: 1, class: "limit", fails: "Reached maximum number of turns (2)", input: 24, cached: 6, output: 10, session: true},
			{name: "empty", mode: "empty", env: sandboxed(), input: 24, cached: 6, output: 10},
			{name: "status_401", mode: "401", env: quick(), exit: 1, class: "auth", fails: "Failed to authenticate. API Error: 401"},
			{name: "status_404", mode: "404", env: quick(), exit: 1, class: "config", fails: "issue with the selected model"},
			{name: "status_429", mode: "429", env: quick(), exit: 1, class: "rate_limit", fails: "429"},
			{name: "status_500", mode: "500", env: quick(), exit: 1, class: "overloaded", fails: "500"},
			{name: "status_529", mode: "529", env: quick(), exit: 1, class: "overloaded", fails: "529"},
			{name: "resumed_401", mode: "401", env: quick(), resume: "third", exit: 1, class: "auth", fails: "401", session: true},
			{name: "cut", mode: "cut", env: quick(), exit: 1, class: "overloaded", fails: "malformed response", input: 12, cached: 3, output: 1},
			{name: "refused", env: quick(), exit: 1, class: "network", fails: "Connection refused"},
			{name: "unknown_session", mode: "ok", env: sandboxed(), resume: "none", exit: 1, class: "session", fails: "does not know the session"},
			{name: "no_key", mode: "ok", env: quick("ANTHROPIC_API_KEY", " "), key: "OTHER_KEY", exit: 1, class: "auth", fails: "Not logged in"},
			{name: "as_root", mode: "ok", exit: 1, class: "config", fails: "cannot be used with root"},
			{name: "unknown_option", mode: "ok", env: sandboxed(), config: map[string]any{"extraArgs": []string{"--nosuch"}}, exit: 1, class: "config", fails: "unknown option"},
			{name: "killed", mode: "hang", env: sandboxed(), resume: "third", kill: true, exit: 143, class: "other", fails: "exit status 143", session: true},
			{name: "after_the_kill", mode: "ok", env: sandboxed(), resume: "killed", summary: "STUB turns=4", input: 12, cached: 3, output: 5, session: true},
		},
	}, {
		adapter: "codex_local", path: codex, key: "OPENAI_API_KEY", baseURL: "OPENAI_BASE_URL", suffix: "/v1", arrives: "Bearer ",
		turns: []turn{
			{name: "first", mode: "ok", summary: "STUB turns=1", input: 8, cached: 3, output: 7, session: true},
			{name: "second", mode: "ok", resume: "first", summary: "STUB turns=2", input: 8, cached: 3, output: 7, session: true},
			{name: "third", mode: "ok", resume: "second", summary: "STUB turns=3", input: 8, cached: 3, output: 7, session: true,
				config: map[string]any{"modelReasoningEffort": "low", "fastMode": true, "search": true, "extraArgs": []string{"-c", "hide_agent_reasoning=true"}}},
			{name: "other_model", mode: "ok", resume: "first", config: map[string]any{"model": "gpt-5-codex"}, summary: "STUB turns=1", input: 8, cached: 3, output: 7, session: true},
			{name: "instructions", mode: "ok", config: map[string]any{"instructionsFilePath": "AGENTS.md"}, summary: "STUB turns=1", input: 8, cached: 3, output: 7, session: true},
			{name: "codex_key", mode: "ok", key: "CODEX_API_KEY", summary: "STUB turns=1", input: 8, cached: 3, output: 7, session: true},
			{name: "tool", mode: "tool", summary: "STUB turns=1", input: 16, cached: 6, output: 14, session: true},
			{name: "own_sandbox", mode: "tool", config: map[string]any{"dangerouslyBypassApprovalsAndSandbox": false}, summary: "STUB turns=1", input: 16, cached: 6, output: 14, session: true},
			{name: "empty", mode: "empty", class: "other", fails: "codex ended without a message", input: 8, cached: 3, output: 7},
			{name: "status_400", mode: "400", exit: 1, class: "other", fails: "the stub answers 400"},
			{name: "status_401", mode: "401", exit: 1, class: "auth", fails: "401 Unauthorized"},
			{name: "status_404", mode: "404", exit: 1, class: "config", fails: "404 Not Found"},
			{name: "status_429", mode: "429", exit: 1, class: "rate_limit", fails: "429"},
			{name: "status_500", mode: "500", exit: 1, class: "overloaded", fails: "high demand"},
			{name: "status_503", mode: "503", exit: 1, class: "overloaded", fails: "503"},
			{name: "resumed_401", mode: "401", resume: "third", exit: 1, class: "auth", fails: "401", session: true},
			{name: "cut", mode: "cut", exit: 1, class: "overloaded", fails: "stream disconnected"},
			{name: "refused", kill: true, class: "network", fails: "was not reached"},
			{name: "unknown_session", mode: "ok", resume: "none", exit: 1, class: "session", fails: "does not know the session"},
			{name: "no_key", mode: "ok", env: map[string]string{"OPENAI_API_KEY": " "}, key: "OTHER_KEY", exit: 1, class: "auth", fails: "Missing environment variable"},
			{name: "unknown_option", mode: "ok", config: map[string]any{"extraArgs": []string{"--nosuch"}}, exit: 2, class: "config", fails: "unexpected argument"},
			{name: "killed", mode: "hang", resume: "third", kill: true, class: "other", fails: "signal 15", session: true},
			{name: "after_the_kill", mode: "ok", resume: "killed", summary: "STUB turns=4", input: 8, cached: 3, output: 7, session: true},
		},
	}}
}
