package protocol_test

import (
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"A": "", "_": "", "a9_Z": "", "PAPERCLIP": "", "GITHUB_TOKEN": "", "MY_LD_PRELOAD": "", "ENVIRONMENT": "",
		strings.Repeat("A", protocol.MaxNameLen): "",

		"":       "empty name",
		"9A":     "not a variable name",
		"A-B":    "not a variable name",
		"A=B":    "not a variable name",
		"A\x00":  "not a variable name",
		"A\n":    "not a variable name",
		"Ä":      "not a variable name",
		"\u0391": "not a variable name", // a Greek letter that looks like A

		strings.Repeat("A", protocol.MaxNameLen+1): "name of 256 bytes",

		"PAPERCLIP_API_KEY": "reserved",
		"PAPERCLIP_":        "reserved",
		"PATH":              "set by the launcher",
		"LANG":              "set by the launcher",
		"LD_PRELOAD":        "steers a loader",
		"LD_":               "steers a loader",
		"GLIBC_TUNABLES":    "steers a loader",
		"BASH_ENV":          "steers a loader",
		"ENV":               "steers a loader",
		"NODE_OPTIONS":      "steers a loader",
		"PYTHONSTARTUP":     "steers a loader",
		"PERL5OPT":          "steers a loader",
		"RUBYOPT":           "steers a loader",
		"JAVA_TOOL_OPTIONS": "steers a loader",
		"GIT_CONFIG_KEY_0":  "steers a loader",
		"GIT_SSH_COMMAND":   "steers a loader",
		"npm_config_script": "steers a loader",
	} {
		err := protocol.CheckSecretName(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
		if plain := protocol.CheckEnvName(name); (plain == nil) != (err == nil || protocol.Reserved(name) || protocol.Basic(name) || protocol.Loader(name)) {
			t.Errorf("%q as a plain name: %v", name, plain)
		}
	}
}
