package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// check refuses, before anything starts, whatever could not be executed or
// would let a secret change what is executed.
func check(spec *LaunchSpec, bundle *protocol.Bundle) error {
	if len(spec.Argv) == 0 || spec.Argv[0] == "" {
		return errors.New("the command is empty")
	}
	if !filepath.IsAbs(spec.Dir) {
		return fmt.Errorf("working directory %q is not absolute", spec.Dir)
	}
	if err := checkText(spec); err != nil {
		return err
	}
	if bundle != nil {
		if err := checkBundle(spec, bundle); err != nil {
			return err
		}
	}
	size, err := checkStrings(spec, bundle)
	if err != nil {
		return err
	}
	if err := checkCount(spec); err != nil {
		return err
	}
	paths := candidates(spec.Argv[0], spec.Env["PATH"])
	if len(paths) == 0 {
		return fmt.Errorf("%s: not found, PATH names no absolute directory", spec.Argv[0])
	}
	return checkTotal(size + longest(paths) + 1)
}

// checkText refuses what neither execve nor the launch spec can carry.
func checkText(spec *LaunchSpec) error {
	if err := checkString("the working directory", spec.Dir); err != nil {
		return err
	}
	for i, arg := range spec.Argv {
		if err := checkString(fmt.Sprintf("argument %d", i), arg); err != nil {
			return err
		}
	}
	for _, name := range names(spec.Env) {
		if err := protocol.CheckEnvName(name); err != nil {
			return err
		}
		if err := checkString("variable "+name, spec.Env[name]); err != nil {
			return err
		}
	}
	return nil
}

func checkString(what, s string) error {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%s holds a NUL byte, which execve cannot carry", what)
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not valid UTF-8: only a secret's value may hold other bytes", what)
	}
	return nil
}

// Limits of package wire's decoder, and of the kernel for one name of a file.
const (
	maxList = 4096
	maxName = 255 // NAME_MAX
)

// checkCount bounds the lists of the launch spec. PATH times the command's
// name is what a careless plugin could make large.
func checkCount(spec *LaunchSpec) error {
	switch {
	case len(spec.Argv) > maxList:
		return fmt.Errorf("%d arguments, the limit is %d", len(spec.Argv), maxList)
	case len(spec.Env) > maxList:
		return fmt.Errorf("%d variables, the limit is %d", len(spec.Env), maxList)
	case len(filepath.Base(spec.Argv[0])) > maxName:
		return fmt.Errorf("the command's name has %d bytes, the limit is %d", len(filepath.Base(spec.Argv[0])), maxName)
	case strings.Count(spec.Env["PATH"], ":") >= maxList:
		return fmt.Errorf("PATH has more than %d directories", maxList)
	}
	return nil
}

func checkBundle(spec *LaunchSpec, bundle *protocol.Bundle) error {
	if err := bundle.Validate(); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	for _, r := range bundle.Meta.Refs {
		if err := protocol.CheckSecretName(r.Name); err != nil {
			return fmt.Errorf("secret: %w", err)
		}
		if _, ok := spec.Env[r.Name]; ok {
			return fmt.Errorf("%s is both a plain variable and a secret", r.Name)
		}
	}
	return nil
}

func environ(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for _, name := range names(env) {
		out = append(out, name+"="+env[name])
	}
	return out
}

func names(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for name := range env {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func longest(paths []string) int {
	n := 0
	for _, p := range paths {
		n = max(n, len(p))
	}
	return n
}
