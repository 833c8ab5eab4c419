package plugins

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// maxTimeout bounds a plan's deadline, in milliseconds.
const maxTimeout = 366 * 24 * 3600 * 1000

// maxProblems bounds how many problems of one answer are reported.
const maxProblems = 20

// report collects what is wrong with an answer.
type report struct {
	plugin string
	errs   []error
}

func (r *report) add(e *Error) {
	if len(r.errs) < maxProblems {
		e.Plugin = r.plugin
		r.errs = append(r.errs, e)
	}
}

// rule adds a broken rule.
func (r *report) rule(field, format string, args ...any) {
	r.add(&Error{Kind: KindAnswer, Field: field, Message: fmt.Sprintf(format, args...)})
}

// problems adds what the adapter itself reported.
func (r *report) problems(list []*adapterpb.Problem) {
	for _, p := range list {
		e := &Error{Kind: KindConfig, Field: clean(p.GetField(), maxMessage),
			Message: clean(p.GetMessage(), maxMessage), Hint: clean(p.GetHint(), maxMessage)}
		if e.Message == "" {
			e.Message = "refused without a reason"
		}
		r.add(e)
	}
}

// err is nil, the one error, or all of them.
func (r *report) err() error {
	if len(r.errs) == 1 {
		return r.errs[0]
	}
	return errors.Join(r.errs...)
}

func readDescription(plugin string, reply *adapterpb.DescribeResponse) (*adapter.Description, error) {
	r := &report{plugin: plugin}
	if r.problems(reply.GetProblems()); r.err() != nil {
		return nil, r.err()
	}
	var schema map[string]json.RawMessage
	if err := json.Unmarshal(reply.GetSchema(), &schema); err != nil || schema == nil {
		r.rule("schema", "is not a JSON object")
	}
	if got := clean(reply.GetType(), maxTypeLen); got != plugin {
		r.rule("type", "is %q, and the file's name %q", got, plugin)
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	d := &adapter.Description{Type: plugin, Version: clean(reply.GetVersion(), maxTypeLen), Schema: reply.GetSchema()}
	for _, word := range []string{adapter.CanTestEnvironment, adapter.CanObserve} { // others are of a later version
		if slices.Contains(reply.GetCan(), word) {
			d.Can = append(d.Can, word)
		}
	}
	return d, nil
}

// readPlan checks a plan against the rules of adapter.proto. The plugin is not
// believed: it may be broken, or somebody else's.
func readPlan(plugin string, request *adapter.PlanRequest, reply *adapterpb.PlanResponse) (*adapter.Plan, error) {
	r := &report{plugin: plugin}
	if r.problems(reply.GetProblems()); r.err() != nil {
		return nil, r.err()
	}
	p := reply.GetPlan()
	if p == nil {
		r.rule("plan", "is missing")
		return nil, r.err()
	}
	if r.size(p); r.err() != nil {
		return nil, r.err()
	}
	r.argv(p.GetArgv())
	r.dir(p.GetDir())
	r.env(p.GetEnv(), request)
	needs := r.needs(p.GetNeeds())
	if n := len(p.GetCarry()); n > adapter.MaxState {
		r.rule("carry", "takes %d bytes, limit %d", n, adapter.MaxState)
	}
	if p.GetTimeoutMs() > maxTimeout {
		r.rule("timeout_ms", "is more than a year")
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	return &adapter.Plan{
		Argv: p.GetArgv(), Dir: p.GetDir(), Env: p.GetEnv(), Stdin: p.GetStdin(), Needs: needs,
		Timeout: time.Duration(p.GetTimeoutMs()) * time.Millisecond, Carry: p.GetCarry(),
	}, nil
}

func (r *report) argv(argv []string) {
	switch {
	case len(argv) == 0:
		r.rule("argv", "is empty")
		return
	case argv[0] == "":
		r.rule("argv[0]", "is empty")
	case strings.Contains(argv[0], "/") && !filepath.IsAbs(argv[0]):
		r.rule("argv[0]", "is a relative path")
	}
	for i, arg := range argv {
		r.noNUL(fmt.Sprintf("argv[%d]", i), arg)
	}
}

func (r *report) dir(dir string) {
	if !filepath.IsAbs(dir) {
		r.rule("dir", "is not an absolute path")
	}
	r.noNUL("dir", dir)
}

func (r *report) env(env map[string]string, request *adapter.PlanRequest) {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		field := "env." + clean(name, maxTypeLen)
		given, ok := request.Env[name]
		switch {
		case protocol.CheckEnvName(name) != nil:
			r.rule(field, "is not a variable name")
		case protocol.Reserved(name):
			r.rule(field, "is reserved for the launcher")
		case slices.Contains(request.SecretNames, name):
			r.rule(field, "is the name of a secret of this agent")
		case protocol.Loader(name) && !(ok && given == env[name]):
			r.rule(field, "steers a loader or interpreter, and the agent's configuration does not set it so")
		}
		r.noNUL(field, env[name])
	}
}

func (r *report) noNUL(field, value string) {
	if strings.IndexByte(value, 0) >= 0 {
		r.rule(field, "holds a NUL byte")
	}
}

// size bounds the plan in memory: on the wire an empty string takes 2 bytes.
func (r *report) size(p *adapterpb.Plan) {
	const pointer = 8 // bytes, as execve(2) counts
	n := len(p.GetDir()) + len(p.GetStdin())
	for _, arg := range p.GetArgv() {
		n += len(arg) + pointer
	}
	for name, value := range p.GetEnv() {
		n += len(name) + len(value) + pointer
	}
	if n > adapter.MaxMessageSize {
		r.rule("plan", "takes %d bytes, limit %d", n, adapter.MaxMessageSize)
	}
}
