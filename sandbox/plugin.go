package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Plugin is a program that serves the launcher over a unix socket: without
// secrets, with the launcher's life, and confined as an agent is.
type Plugin struct {
	Name    string
	Run     string   // run id, a UUID
	Path    string   // absolute, of the program
	Program *os.File // what is executed in place of what lies at Path; nil: a script, whose interpreter reads it from there
	Env     []string // NAME=value, all but TMPDIR

	User    *User    // nil: the keeper's own, without capabilities
	Base    string   // absolute: the keeper makes its TMPDIR in it
	Socket  string   // absolute: the launcher's directory in which it makes its socket
	Private []string // the launcher's own files, which stay closed

	Stdout, Stderr *os.File // what it prints to; the caller closes them
}

// pluginUmask lets the launcher connect to the socket of a plugin with another
// uid, by the group of the directory that it is in, and nobody else.
const pluginUmask = 0o007

// Limits of a plugin. It answers questions: what takes more is not right.
const (
	pluginFiles  = 1024
	pluginFile   = 64 << 20  // bytes of one file
	pluginNProc  = 256       // threads among them
	pluginMemory = 512 << 20 // bytes
	pluginGrace  = 2 * time.Second
)

// StartPlugin has the keeper start p and returns once its program runs. It ends
// when this connection does. There is no run record: nothing that matters depends
// on it. The error does not name the plugin.
func (k *Keeper) StartPlugin(p *Plugin) (*Process, error) {
	if err := k.openSocketDir(p); err != nil {
		return nil, err
	}
	policy, spec := p.policy(k.host()), p.launchSpec()
	proc, err := k.start(*spec, nil, *policy)
	if err != nil {
		return nil, err
	}
	if _, err := proc.release(); err != nil {
		err = proc.explain(err) // before Cancel, whose SIGKILL is not what it died of
		proc.Cancel()
		return nil, err
	}
	return proc, nil
}

// openSocketDir lets a plugin of another uid make its socket in the launcher's
// directory. Setgid gives that the launcher's group. Others may come in, too, but
// can neither list it nor touch what is there, and the launcher connects to
// nothing but what the plugin names and has the key for.
func (k *Keeper) openSocketDir(p *Plugin) error {
	uid := k.hello.UID
	if p.User != nil {
		uid = p.User.UID
	}
	if uid == uint32(os.Geteuid()) {
		return nil
	}
	if err := os.Chmod(p.Socket, 0o733|os.ModeSetgid|os.ModeSticky); err != nil {
		return fmt.Errorf("cannot let it make its socket: %w", err)
	}
	return nil
}

// policy asks for nothing that this host cannot do: without plugins no agent
// runs. Its level says what is lost.
func (p *Plugin) policy(h Host) *Policy {
	policy := &Policy{User: p.User, Profile: ProfilePlugin, BestEffort: true, Limits: Limits{NoFile: pluginFiles, FSize: pluginFile}}
	if p.User != nil { // else it counts what is not the plugin's
		policy.Limits.NProc = pluginNProc
	}
	if slices.Contains(h.Controllers, "memory") {
		policy.Limits.Memory = pluginMemory
	}
	if slices.Contains(h.Controllers, "pids") {
		policy.Limits.Pids = pluginNProc
	}
	if p.Program == nil { // a script loads what lies beside it
		policy.Read = []string{filepath.Dir(p.Path)}
	}
	return policy
}

func (p *Plugin) launchSpec() *LaunchSpec {
	tmp := filepath.Join(p.Base, "tmp", TmpName(p.Run))
	env := map[string]string{"TMPDIR": tmp}
	for _, v := range p.Env {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	return &LaunchSpec{
		Agent: p.Name, Run: p.Run, Argv: []string{p.Path}, Dir: "/", Env: env, Grace: pluginGrace, plugin: p,
		Places: Places{Dir: "/", Home: filepath.Join(p.Base, "home"), Tmp: tmp, Socket: p.Socket, Base: p.Base, Private: p.Private},
	}
}
