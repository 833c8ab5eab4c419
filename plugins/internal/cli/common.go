package cli

import (
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/internal/prompt"
)

// Common are the fields of every such adapter, checked, with defaults.
type Common struct {
	Command              string
	Cwd                  string
	Model                string // empty: the tool's default
	PromptTemplate       string
	InstructionsFilePath string // empty: none
	ExtraArgs            []string
	MaxRun               time.Duration
}

// defaultMaxRun is long for a heartbeat. Without any limit a tool that waits
// for a network waits for ever.
const defaultMaxRun = time.Hour

// Common takes them. command is the tool's usual name.
func (f *Fields) Common(command string) Common {
	c := Common{Command: command, Cwd: f.String("cwd"), MaxRun: defaultMaxRun}
	if own := f.String("command"); own != "" {
		c.Command = own
	}
	c.Model, c.PromptTemplate = f.String("model"), f.String("promptTemplate")
	c.InstructionsFilePath, c.ExtraArgs = f.String("instructionsFilePath"), f.Strings("extraArgs")
	if n := f.Count("maxRunSec", 7*86400); n > 0 {
		c.MaxRun = time.Duration(n) * time.Second
	}
	f.check(&c)
	return c
}

func (f *Fields) check(c *Common) {
	switch {
	case strings.Contains(c.Command, "/") && !filepath.IsAbs(c.Command):
		f.Problem("command", "is a relative path", "give an absolute path, or a name without a slash to look it up in PATH")
	case strings.ContainsAny(c.Command, " \t\n") && !filepath.IsAbs(c.Command):
		f.Problem("command", "holds a space", "there is no shell: name the program alone, and put its arguments into extraArgs")
	}
	switch {
	case c.Cwd == "":
		f.Problem("cwd", "is missing", "give the absolute path of the agent's working directory")
	case !filepath.IsAbs(c.Cwd):
		f.Problem("cwd", "is a relative path", "give an absolute path")
	}
	if c.InstructionsFilePath != "" && !filepath.IsAbs(c.InstructionsFilePath) {
		f.Problem("instructionsFilePath", "is a relative path", "give an absolute path")
	}
	if p := prompt.Check(c.PromptTemplate); p != nil {
		f.errs = append(f.errs, p)
	}
}

// Prompt is what the tool reads from its standard input.
func (c *Common) Prompt(r *adapter.PlanRequest) (string, error) {
	text := prompt.Render(c.PromptTemplate, r)
	if strings.TrimSpace(text) == "" {
		return "", &adapter.Problem{Field: "promptTemplate", Message: "makes an empty prompt of this run", Hint: "add words that are there whoever woke the agent"}
	}
	return text, nil
}

// Needs are what the tool must be able to do in the sandbox.
func (c *Common) Needs() adapter.Needs {
	n := adapter.Needs{Write: []string{c.Cwd}, Network: true}
	if c.InstructionsFilePath != "" {
		n.Read = []string{c.InstructionsFilePath}
	}
	return n
}

// Env adds variables to the agent's own, which win.
func Env(r *adapter.PlanRequest, more map[string]string) map[string]string {
	env := map[string]string{}
	maps.Copy(env, more)
	for _, name := range r.SecretNames {
		delete(env, name)
	}
	maps.Copy(env, r.Env)
	return env
}

// Bound returns the first of names that the agent has, as a secret or a plain
// variable that is not empty.
func Bound(names []string, env map[string]string, secrets []string) (name string, ok bool) {
	i := slices.IndexFunc(names, func(name string) bool { return env[name] != "" || slices.Contains(secrets, name) })
	if i < 0 {
		return "", false
	}
	return names[i], true
}

// Version is the module's, as the Go linker recorded it.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
