package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"syscall"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// State is what is kept of a session, as JSON in adapter.Session.State.
type State struct {
	// Fingerprint is of what the session was begun with. Another one means to
	// start afresh.
	Fingerprint string `json:"fingerprint"`
	// Usage and CostUSD are of the whole session so far, for tools that report
	// totals.
	Usage   adapter.Usage `json:"usage"`
	CostUSD float64       `json:"costUsd"`
}

// Carry is what Observe must know of the plan, as JSON in adapter.Plan.Carry.
type Carry struct {
	Fingerprint string `json:"fingerprint"`
	Resumed     string `json:"resumed,omitempty"` // the session's id; empty: a new one
}

// Bytes is the JSON of it.
func (c Carry) Bytes() []byte {
	data, _ := json.Marshal(c) // of strings
	return data
}

// Fingerprint is of what a session depends on: the directory, the model and the
// instructions.
func (c *Common) Fingerprint() string {
	data, _ := json.Marshal([]string{c.Cwd, c.Model, c.InstructionsFilePath, instructions(c.InstructionsFilePath)}) // of strings
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// maxInstructions bounds what is read of a file of instructions, in bytes.
const maxInstructions = 1 << 20

// ReadInstructions returns the file's text. The plugin's user may see less than
// the agent's: then ok is false.
func ReadInstructions(path string) (text string, ok bool) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO must not keep us
	if err != nil {
		return "", false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", false
	}
	data, err := io.ReadAll(io.LimitReader(f, maxInstructions+1))
	return string(data), err == nil && len(data) <= maxInstructions
}

// instructions tells one state of the file from another, as well as we can see.
func instructions(path string) string {
	if text, ok := ReadInstructions(path); ok {
		return "text " + text
	}
	if info, err := os.Stat(path); err == nil {
		return fmt.Sprintf("file %d %d", info.Size(), info.ModTime().UnixNano())
	}
	return "unseen"
}

// sessionID is what both tools use; no such word is an option.
var sessionID = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,127}$`)

// Resume returns the id of the session to resume; empty: start afresh.
func Resume(s *adapter.Session, fingerprint string) string {
	if s == nil || !sessionID.MatchString(s.ID) || stateOf(s).Fingerprint != fingerprint {
		return ""
	}
	return s.ID
}

// stateOf is zero for what is no State.
func stateOf(s *adapter.Session) (state State) {
	if s == nil || json.Unmarshal(s.State, &state) != nil {
		return State{}
	}
	return state
}

// Session returns one for adapter.Outcome; nil if id is none.
func (s State) Session(id string) *adapter.Session {
	if !sessionID.MatchString(id) {
		return nil
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return &adapter.Session{ID: id, State: data}
}

// Since is what was used after before, of two totals. A tool that counts from
// nothing again has less than before.
func Since(total, before adapter.Usage) adapter.Usage {
	d := adapter.Usage{
		InputTokens:       total.InputTokens - before.InputTokens,
		OutputTokens:      total.OutputTokens - before.OutputTokens,
		CachedInputTokens: total.CachedInputTokens - before.CachedInputTokens,
	}
	if d.InputTokens < 0 || d.OutputTokens < 0 || d.CachedInputTokens < 0 {
		return total
	}
	return d
}
