// Package agentline is the line that the demo's agent prints and the demo reads.
package agentline

import (
	"bytes"
	"encoding/json"
	"time"
)

// Line says what one agent process got.
type Line struct {
	RunID   string            `json:"runId"` // PAPERCLIP_RUN_ID
	PID     int               `json:"pid"`
	Started time.Time         `json:"started"`
	SHA256  map[string]string `json:"sha256"` // by variable, hex, of its value
	Missing []string          `json:"missing,omitempty"`
}

// Parse reads the lines of an agent's output and skips every other line, as
// well as a last one that is still being written.
func Parse(output []byte) []Line {
	var lines []Line
	for text := range bytes.Lines(output) {
		var line Line
		if json.Unmarshal(text, &line) == nil && line.SHA256 != nil {
			lines = append(lines, line)
		}
	}
	return lines
}
