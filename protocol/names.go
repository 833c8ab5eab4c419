package protocol

import (
	"fmt"
	"strings"
)

// CheckEnvName reports why name cannot be an environment variable's name:
// anything but [A-Za-z_][A-Za-z0-9_]* (Paperclip's rule), or too long.
func CheckEnvName(name string) error {
	if name == "" {
		return fmt.Errorf("empty name")
	}
	if len(name) > MaxNameLen {
		return fmt.Errorf("name of %d bytes: the limit is %d", len(name), MaxNameLen)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c == '_' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return fmt.Errorf("%q is not a variable name: it must match [A-Za-z_][A-Za-z0-9_]*", name)
		}
	}
	return nil
}

// CheckSecretName reports why a secret cannot be delivered under name: not a
// variable name, reserved for the launcher, or one that makes a loader or an
// interpreter run code.
func CheckSecretName(name string) error {
	switch {
	case CheckEnvName(name) != nil:
		return CheckEnvName(name)
	case Reserved(name):
		return fmt.Errorf("%s is reserved: names that begin with PAPERCLIP_ are set by the launcher", name)
	case Basic(name):
		return fmt.Errorf("%s is set by the launcher and cannot be a secret", name)
	case Loader(name):
		return fmt.Errorf("%s steers a loader or interpreter and cannot be a secret", name)
	}
	return nil
}

// Reserved reports whether name belongs to the launcher alone.
func Reserved(name string) bool { return strings.HasPrefix(name, "PAPERCLIP_") }

// Basic reports whether name is one that every agent gets from the launcher.
func Basic(name string) bool {
	switch name {
	case "PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "LANG":
		return true
	}
	return false
}

// Loader reports whether a variable of that name can make a dynamic loader, a
// shell or an interpreter load or run code that the agent's command does not
// name: ld.so(8), bash(1), node(1), python(1), perlrun(1), ruby(1), java(1),
// git(1).
func Loader(name string) bool {
	for _, prefix := range []string{"LD_", "MALLOC_", "GIT_CONFIG", "NPM_CONFIG_", "npm_config_", "BUN_CONFIG_", "COR_", "CORECLR_", "DOTNET_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH", "NLSPATH", "HOSTALIASES", "RES_OPTIONS", "NSS_WRAPPER_PASSWD", // libc
		"BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "IFS", "ZDOTDIR", "FPATH", // shells
		"NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "NODE_REPL_EXTERNAL_MODULE", "DENO_DIR", "BUN_OPTIONS", // JavaScript
		"PYTHONSTARTUP", "PYTHONPATH", "PYTHONHOME", "PYTHONINSPECT", "PYTHONUSERBASE", "PYTHONBREAKPOINT", "PYTHONWARNINGS", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE", // Python
		"PERL5OPT", "PERL5LIB", "PERLLIB", "PERL5DB", // Perl
		"RUBYOPT", "RUBYLIB", "GEM_PATH", "GEM_HOME", "BUNDLE_GEMFILE", // Ruby
		"JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", // Java
		"PHPRC", "PHP_INI_SCAN_DIR", "LUA_INIT", "LUA_PATH", "LUA_CPATH", "ERL_FLAGS", "ERL_AFLAGS", "ERL_ZFLAGS", "R_PROFILE", "R_PROFILE_USER", "R_ENVIRON", "GUILE_LOAD_PATH", // others
		"GIT_SSH", "GIT_SSH_COMMAND", "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_EDITOR", "GIT_ASKPASS", "GIT_PROXY_COMMAND", "GIT_TEMPLATE_DIR", "SSH_ASKPASS", // git, ssh
		"OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES", "GOFLAGS", "GOENV", "CARGO_HOME", "RUSTC_WRAPPER", "MAKEFLAGS", "MAKEFILES", "PAGER", "EDITOR", "VISUAL", "BROWSER", "LESSOPEN", "LESSCLOSE", "MANPAGER": // tools
		return true
	}
	return false
}
