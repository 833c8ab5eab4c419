package memscan

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
)

// Run starts the memscan command at path with the request and waits for its
// report. The canaries travel masked on its stdin. An error means that there
// is no report; a report may still say that not everything could be read.
func Run(ctx context.Context, path string, r Request) (*Report, error) {
	args := []string{"--masked"}
	for _, pid := range r.PIDs {
		args = append(args, "--pid", strconv.Itoa(pid))
	}
	for _, tree := range r.Trees {
		args = append(args, "--tree", tree)
	}
	for _, skip := range r.Skip {
		args = append(args, "--skip", skip)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = bytes.NewReader(EncodeCanaries(r.Canaries))
	return outcome(cmd)
}

// outcome runs cmd and checks that its exit code and its report agree.
func outcome(cmd *exec.Cmd) (*Report, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	var report Report
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || cmd.ProcessState == nil {
		return nil, fmt.Errorf("cannot scan: %v: %s", runErr, bytes.TrimSpace(stderr.Bytes()))
	}
	if code := cmd.ProcessState.ExitCode(); code != report.Exit() {
		return nil, fmt.Errorf("cannot trust the scan: it ended with %d and reported %d", code, report.Exit())
	}
	return &report, nil
}
