package adaptertest

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adapterpb"
)

// keepsRules faults an answer that the daemon would refuse, and reports false.
func (k *kit) keepsRules(what string, r *adapterpb.PlanRequest, reply *adapterpb.PlanResponse) (ok bool) {
	ok = true
	broken := func(format string, args ...any) {
		ok = false
		k.fault("%s: %s", what, fmt.Sprintf(format, args...))
	}
	if len(reply.GetProblems()) > 0 {
		for i, p := range reply.GetProblems() {
			if p.GetMessage() == "" {
				broken("problem %d has no message", i)
			}
		}
		return ok
	}
	p := reply.GetPlan()
	if p == nil {
		broken("neither a plan nor a problem")
		return ok
	}
	switch argv := p.GetArgv(); {
	case len(argv) == 0 || argv[0] == "":
		broken("argv is empty")
	case strings.Contains(argv[0], "/") && !filepath.IsAbs(argv[0]):
		broken("argv[0] is a relative path")
	}
	if !filepath.IsAbs(p.GetDir()) {
		broken("dir is not an absolute path")
	}
	for _, s := range append([]string{p.GetDir()}, p.GetArgv()...) {
		if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
			broken("argv or dir is not UTF-8, or holds a NUL byte")
		}
		if strings.Contains(s, secretName) {
			broken("argv or dir holds the name of a secret: values are in the agent's environment and nowhere else")
		}
	}
	for _, path := range slices.Concat(p.GetNeeds().GetRead(), p.GetNeeds().GetWrite(), p.GetNeeds().GetExec()) {
		if !filepath.IsAbs(path) {
			broken("needs a path that is not absolute")
		}
	}
	if len(p.GetCarry()) > adapter.MaxState {
		broken("carry has %d bytes, the most is %d", len(p.GetCarry()), adapter.MaxState)
	}
	for name, value := range p.GetEnv() {
		given, has := r.GetEnv()[name]
		switch {
		case !regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name):
			broken("env has a name that is none")
		case strings.HasPrefix(name, "PAPERCLIP_"):
			broken("env sets %s, which is reserved for the launcher", name)
		case slices.Contains(r.GetSecretNames(), name):
			broken("env sets %s, which is a secret of the agent", name)
		case loader(name) && !(has && given == value):
			broken("env sets %s, which steers a loader or interpreter, and the agent's configuration does not", name)
		case !utf8.ValidString(value) || strings.Contains(value, "\x00"):
			broken("env %s is not UTF-8, or holds a NUL byte", name)
		}
	}
	return ok
}

// loader knows the most usual of the names that the daemon refuses.
func loader(name string) bool {
	return strings.HasPrefix(name, "LD_") ||
		slices.Contains([]string{"NODE_OPTIONS", "BASH_ENV", "ENV", "PYTHONSTARTUP", "PYTHONPATH", "PERL5OPT", "RUBYOPT", "JAVA_TOOL_OPTIONS"}, name)
}
