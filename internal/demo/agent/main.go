// Command agent is the demo's agent, a program like any other: it knows nothing
// of agent-launcher. Its arguments name environment variables; it prints one
// line of JSON that says which of them it got, with the SHA-256 of each value,
// and never a value.
package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/agent-launcher/agent-launcher/internal/demo/agentline"
)

func main() {
	started := time.Now()
	if err := run(started, os.Args[1:], os.LookupEnv, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "agent: cannot print:", err)
		os.Exit(1)
	}
}

func run(started time.Time, names []string, lookup func(string) (string, bool), out io.Writer) error {
	runID, _ := lookup("PAPERCLIP_RUN_ID")
	line := agentline.Line{RunID: runID, PID: os.Getpid(), Started: started.UTC(), SHA256: map[string]string{}}
	for _, name := range names {
		value, ok := lookup(name)
		if !ok {
			line.Missing = append(line.Missing, name)
			continue
		}
		sum := sha256.Sum256([]byte(value))
		line.SHA256[name] = hex.EncodeToString(sum[:])
	}
	return json.NewEncoder(out).Encode(line)
}
