package main

import (
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/internal/clitest"
)

// TestSchema: schema and code refuse the same.
func TestSchema(t *testing.T) {
	clitest.Schema(t, codex{}, schema, "OPENAI_API_KEY", map[string]bool{
		`{"cwd":"/w"}`: true,
		`{"cwd":"/w","command":"/codex","model":"m","modelReasoningEffort":"low","promptTemplate":"","instructionsFilePath":"/i","search":true,"fastMode":false,"dangerouslyBypassApprovalsAndSandbox":true,"extraArgs":[],"maxRunSec":604800}`: true,
		`{}`:                           false,
		`{"cwd":"w"}`:                  false,
		`{"cwd":"/w","command":"./x"}`: false,
		`{"cwd":"/w","model":7}`:       false,
		`{"cwd":"/w","modelReasoningEffort":"HIGH"}`:            false,
		`{"cwd":"/w","promptTemplate":[]}`:                      false,
		`{"cwd":"/w","instructionsFilePath":"i.md"}`:            false,
		`{"cwd":"/w","search":"yes"}`:                           false,
		`{"cwd":"/w","fastMode":0}`:                             false,
		`{"cwd":"/w","dangerouslyBypassApprovalsAndSandbox":1}`: false,
		`{"cwd":"/w","extraArgs":"a"}`:                          false,
		`{"cwd":"/w","extraArgs":[1]}`:                          false,
		`{"cwd":"/w","maxRunSec":-1}`:                           false,
		`{"cwd":"/w","maxTurnsPerRun":1}`:                       false,
	})
}
