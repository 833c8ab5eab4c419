// Package sandbox starts agents. It takes a launch spec, a bundle (ciphertext)
// and a policy, has the keeper fork a stage, and hands back a process that waits
// for permission to become the agent. It never opens a bundle and never reads
// the host key: the stage does, in a process of its own.
//
// It is not a supervisor: heartbeats and records are launcher's; deadlines and
// trees are the keeper's, which is another process.
package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// LaunchSpec says what to run.
type LaunchSpec struct {
	Agent string            // the agent's name, for messages
	Run   string            // run id, a UUID
	Argv  []string          // Argv[0] without a slash is looked up in Env's PATH
	Dir   string            // absolute working directory
	Env   map[string]string // plain variables, all of them: nothing is inherited
	Stdin []byte            // what the agent reads; nothing means /dev/null

	Timeout time.Duration // the agent is stopped after it; 0: never
	Grace   time.Duration // between SIGTERM and the kill of its tree
	Log     *os.File      // what the masker writes its output to; the caller closes it. nil: nothing is kept
	MaxLog  int64         // how much of it, in bytes; 0: all

	Places Places // what the policy speaks of

	plugin *Plugin // nil: an agent
}

// StagePath finds agent-launcher-stage: beside the running program, as built
// and as packaged.
func StagePath() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot find agent-launcher-stage: %w", err)
	}
	path := filepath.Join(filepath.Dir(self), "agent-launcher-stage")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("cannot find agent-launcher-stage beside %s: %w", filepath.Base(self), err)
	}
	return path, nil
}

// Start has the keeper fork the stage for spec. The stage waits: Release,
// called when the run record is on disk, lets it open the bundle and become
// the agent; Cancel, or five seconds without Release, ends it. bundle may be nil
// for a process without secrets.
func (k *Keeper) Start(spec LaunchSpec, bundle *protocol.Bundle, policy Policy) (*Process, error) {
	p, err := k.start(spec, bundle, policy)
	if err != nil {
		return nil, fmt.Errorf("cannot start agent %s: %w", spec.Agent, err)
	}
	return p, nil
}

func (k *Keeper) start(spec LaunchSpec, bundle *protocol.Bundle, policy Policy) (*Process, error) {
	if err := check(&spec, bundle); err != nil {
		return nil, err
	}
	rlimits, err := rlimits(policy.Limits)
	if err != nil {
		return nil, err
	}
	programs, umask := candidates(spec.Argv[0], spec.Env["PATH"]), uint32(agentUmask)
	if spec.plugin != nil {
		umask = pluginUmask
	}
	confined, err := confine(&policy, &spec.Places, programRules(&policy, &spec.Places, spec.Argv[0], spec.Env["PATH"]), k.host(), &k.filters)
	if err != nil {
		return nil, err
	}
	defer confined.close()
	return k.launch(&spec, confined, &wire.Spec{
		Version:  wire.Version,
		Paths:    programs,
		Argv:     spec.Argv,
		Env:      environ(spec.Env),
		Dir:      spec.Dir,
		Rlimits:  rlimits,
		Bundle:   bundle,
		Landlock: confined.ruleset != nil,
		Seccomp:  confined.filter,
		Umask:    umask,
		Program:  spec.plugin != nil && spec.plugin.Program != nil,
	})
}

// agentUmask is the customary one: the launcher's own is tighter.
const agentUmask = 0o022

// candidates are the paths that execvp(3) would try for name.
func candidates(name, path string) []string {
	if filepath.Base(name) != name {
		return []string{name}
	}
	var out []string
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) { // a relative entry would mean the workspace
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out
}
