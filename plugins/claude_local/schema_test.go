package main

import (
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/internal/clitest"
)

// TestSchema: schema and code refuse the same.
func TestSchema(t *testing.T) {
	clitest.Schema(t, claude{}, schema, "ANTHROPIC_API_KEY", map[string]bool{
		`{"cwd":"/w"}`: true,
		`{"cwd":"/w","command":"claude","model":"","effort":"max","promptTemplate":"","instructionsFilePath":"","maxTurnsPerRun":0,"dangerouslySkipPermissions":false,"extraArgs":["-x"],"maxRunSec":1}`: true,
		`{}`:                                          false,
		`{"cwd":"w"}`:                                 false,
		`{"cwd":"/w","command":"./x"}`:                false,
		`{"cwd":"/w","model":7}`:                      false,
		`{"cwd":"/w","effort":"HIGH"}`:                false,
		`{"cwd":"/w","promptTemplate":[]}`:            false,
		`{"cwd":"/w","instructionsFilePath":"i.md"}`:  false,
		`{"cwd":"/w","maxTurnsPerRun":-1}`:            false,
		`{"cwd":"/w","maxTurnsPerRun":100001}`:        false,
		`{"cwd":"/w","maxTurnsPerRun":1.5}`:           false,
		`{"cwd":"/w","dangerouslySkipPermissions":1}`: false,
		`{"cwd":"/w","extraArgs":"a"}`:                false,
		`{"cwd":"/w","extraArgs":[1]}`:                false,
		`{"cwd":"/w","maxRunSec":604801}`:             false,
		`{"cwd":"/w","Model":"x"}`:                    false,
	})
}
