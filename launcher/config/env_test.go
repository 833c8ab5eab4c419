package config

import (
	"fmt"
	"strings"
	"testing"
)

// inEnv is an adapter file with these variables.
func inEnv(variables string) string {
	return head + "\n\"adapterConfig\": {\"env\": {" + variables + "}}}"
}

func TestEnvProblems(t *testing.T) {
	ref := func(more string) string { return `{"type": "secret_ref", "secretId": "s"` + more + `}` }
	for _, c := range []struct{ name, env, path, says string }{
		{"bad name", `"A-B": §"x"`, `["A-B"]`, "must match [A-Za-z_][A-Za-z0-9_]*"},
		{"empty name", `"": §"x"`, `[""]`, "not the name of a variable"},
		{"name with =", `"A=B": §"x"`, `["A=B"]`, "not the name of a variable"},
		{"long name", `"` + strings.Repeat("A", 256) + `": §"x"`, `["AAAA..."]`, "at most 255 bytes"},
		{"reserved", `"PAPERCLIP_X": §"x"`, ".PAPERCLIP_X", "reserved"},
		{"reserved secret", `"PAPERCLIP_API_KEY": §` + ref(""), ".PAPERCLIP_API_KEY", "reserved"},
		{"loader", `"LD_PRELOAD": §"x"`, ".LD_PRELOAD", "steers a loader or interpreter | if that is wanted, name it in sandbox.allowEnv"},
		{"loader as plain", `"BASH_ENV": {"type": "plain", "value": §"x"}`, ".BASH_ENV.value", "sandbox.allowEnv"},
		{"loader as secret", `"NODE_OPTIONS": §` + ref(""), ".NODE_OPTIONS", "cannot be a secret"},
		{"PATH as secret", `"PATH": §` + ref(""), ".PATH", "cannot be a secret"},
		{"duplicate", `"A": "x", "A": §` + ref(""), ".A", "duplicate key"},
		{"a number", `"A": §12345678`, ".A", "must be a string, a plain value or a secret ref, got a number"},
		{"null", `"A": §null`, ".A", "got null"},
		{"an array", `"A": §["x"]`, ".A", "got an array"},
		{"NUL", `"A": §"x\u0000y"`, ".A", "holds a NUL"},
		{"NUL in plain", `"A": {"type": "plain", "value": §"x\u0000y"}`, ".A.value", "holds a NUL"},
		{"more than execve takes", `"A": §"` + strings.Repeat("x", maxVariable-2) + `"`, ".A", "take 131073 bytes: execve(2) takes at most 131072"},
		{"the mask", `"A": §"***REDACTED***"`, ".A", "put the real one here"},
		{"the mask as plain", `"A": {"type": "plain", "value": §"***REDACTED***"}`, ".A.value", "is Paperclip's mask"},
		{"plain without a value", `"A": §{"type": "plain"}`, ".A.value", "is missing"},
		{"plain number", `"A": {"type": "plain", "value": §1}`, ".A.value", "must be a string, got a number"},
		{"plain with a key too many", `"A": {"type": "plain", "value": "x", "secretId": §"s"}`, ".A.secretId", "unknown key"},
		{"user secret", `"A": {"type": §"user_secret_ref", "key": "k"}`, ".A.type", "only the real server can"},
		{"composio", `"A": {"type": §"composio_connection", "id": "k"}`, ".A.type", "belong to Composio"},
		{"connected account", `"A": {"type": §"connected_account"}`, ".A.type", "belong to Composio"},
		{"oauth", `"A": {"type": §"OAuth_grant"}`, ".A.type", "belong to Composio"},
		{"refresh token", `"A": {"type": §"refresh_token"}`, ".A.type", "belong to Composio"},
		{"unknown type", `"A": {"type": §"vault"}`, ".A.type", "a string, plain or secret_ref"},
		{"no type", `"A": §{"secretId": "s"}`, ".A", `needs a "type"`},
		{"type of a wrong type", `"A": §{"type": 1}`, ".A", `needs a "type"`},
		{"no id", `"A": §{"type": "secret_ref"}`, ".A.secretId", "is missing"},
		{"bad id", `"A": {"type": "secret_ref", "secretId": §"a b"}`, ".A.secretId", "must be an id"},
		{"version text", `"A": ` + ref(`, "version": §"3"`), ".A.version", `must be "latest" or a version's number from 1, got a string`},
		{"version zero", `"A": ` + ref(`, "version": §0`), ".A.version", "from 1"},
		{"version negative", `"A": ` + ref(`, "version": §-1`), ".A.version", "from 1"},
		{"version fraction", `"A": ` + ref(`, "version": §1.5`), ".A.version", "from 1"},
		{"version huge", `"A": ` + ref(`, "version": §4294967296`), ".A.version", "from 1"},
		{"version null", `"A": ` + ref(`, "version": §null`), ".A.version", "got null"},
		{"a value beside the ref", `"A": ` + ref(`, "value": §"hunter2"`), ".A.value", "unknown key"},
		{"misspelt key", `"A": ` + ref(`, "versions": §1`), ".A.versions", "did you mean version?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := LoadAgent(write(t, "a.json", inEnv(c.env)))
			compare(t, inEnv(c.env), err, []want{{"$.adapterConfig.env" + c.path, c.says}})
		})
	}
}

func TestEnvValues(t *testing.T) {
	big := strings.Repeat("x", maxVariable-3)
	a, err := LoadAgent(write(t, "a.json", inEnv(`"PATH": "/opt/bin", "E": "", "M": "a\nb=c\u0001ü", "_a1": {"type": "plain", "value": "", "projectionClass": "unclassified"}, "B": "`+big+`"`)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"PATH": "/opt/bin", "E": "", "M": "a\nb=c\x01ü", "_a1": "", "B": big} {
		if got, ok := a.Plain[name]; !ok || got != value {
			t.Errorf("%s is %.20q", name, got)
		}
	}
}

func TestTooManyRefs(t *testing.T) {
	var refs []string
	for i := range 257 {
		refs = append(refs, fmt.Sprintf(`"A%d": {"type": "secret_ref", "secretId": "s"}`, i))
	}
	text := "§" + inEnv(strings.Join(refs, ","))
	_, err := LoadAgent(write(t, "a.json", text))
	compare(t, text, err, []want{{"$", "257 secret refs: one agent can have 256"}})
}

// A plain value that looks like a secret is a warning, which refuses nothing.
func TestPlainSecrets(t *testing.T) {
	for env, warned := range map[string]bool{
		`"API_TOKEN": "x"`: true, `"db_password": {"type": "plain", "value": "x"}`: true, `"OPENAI_API_KEY": "x"`: true, `"CLIENT_SECRET": "x"`: true,
		`"MAX_TOKENS": "4096"`: false, `"TOKEN_FILE": "/t"`: false, `"TOKEN": ""`: false, `"MONKEY": "x"`: false,
		`"TOKEN": {"type": "secret_ref", "secretId": "s"}`: false,
	} {
		a, d, _ := load(write(t, "a.json", inEnv(env)))
		if a == nil || d.errors != 0 || (d.warnings == 1) != warned || warned && !d.all()[0].Warning {
			t.Errorf("%s: %v", env, d.all())
		}
	}
}

// A secret that was pasted into a wrong place is in no message.
func TestMessagesQuoteNoValue(t *testing.T) {
	const secret = "sk-hunter2hunter2hunter2hunter2hunter2hunter2"
	quoted := `"` + secret + `"`
	agents := []string{
		quoted, "[" + quoted + "]", `{"id": ` + quoted, `{"id": ` + secret, `{` + quoted + `: 1}`, `{"id": "\ud800` + secret + `"}`, `{"id": "\x` + secret + `"}`,
		`{"id": ` + quoted + `x, "companyId": "a b` + secret + `", "adapterType": ` + quoted + `, "adapterConfig": ` + quoted + `}`,
		head + `"adapterConfig": {"env": ` + quoted + `, "timeoutSec": ` + quoted + `, "access.` + secret + `": 1}, "lifecycle": ` + quoted + `, "overlap": ` + quoted + `, "user": ":` + secret + `", "sandbox": ` + quoted + `}`,
		head + `"adapterConfig": {"graceSec": 12345678901234567890}, "runtimeConfig": {"heartbeat": {"enabled": ` + quoted + `, "intervalSec": ` + quoted + `, "` + secret + `": 1}}}`,
		inEnv(quoted + `: "TOKEN"`), inEnv(`"PAPERCLIP_X": ` + quoted), inEnv(`"LD_PRELOAD": ` + quoted), inEnv(`"A": "\u0000` + secret + `"`), inEnv(`"API_KEY": ` + quoted + `, "B": 12345678901234567890`),
		inEnv(`"A": {"type": ` + quoted + `}`), inEnv(`"A": {"type": "oauth` + secret + `"}`), inEnv(`"A": {"type": "plain", "value": [` + quoted + `]}`), inEnv(`"A": [` + quoted + `]`),
		inEnv(`"A": {"type": "secret_ref", "secretId": "a b` + secret + `"}`), inEnv(`"A": {"type": "secret_ref", "secretId": "s", "version": ` + quoted + `, ` + quoted + `: 1}`),
	}
	for _, text := range agents {
		_, d, _ := load(write(t, "a.json", text))
		quotesNot(t, d.all(), secret, "12345678901234567890")
	}
	configs := []string{
		"{" + plane + `, "hostKeyFile": "credential:/` + secret + `", "heartbeat": {"intervalSec": ` + quoted + `}, "socket": [` + quoted + `], ` + quoted + `: 1}`,
		`{"controlPlane": {"source": ` + quoted + `, "url": "https://u:` + secret + `@h", "hostId": "/` + secret + `", "tokenFile": "\u0000` + secret + `", "signingKey": ` + quoted + `}}`,
		`{"hostKeyFile": "credential:` + secret + `", "controlPlane": {"url": "http://` + secret + `.example", "signingKey": "agent-launcher-host-private-key-1:` + secret + `"}}`,
		`{"controlPlane": {"url": "https://%zz` + secret + `", "signingKey": "` + signingKey + secret + `"}}`,
	}
	for _, text := range configs {
		_, err := Load(write(t, "config.json", text))
		ps, _ := err.(Problems)
		quotesNot(t, ps, secret)
	}
}

func quotesNot(t *testing.T, ps Problems, secrets ...string) {
	t.Helper()
	if len(ps) == 0 {
		t.Error("no problem was found")
	}
	for _, p := range ps {
		for _, secret := range secrets {
			if strings.Contains(p.Error()+p.Hint, secret[3:20]) {
				t.Errorf("%v (hint %q)", p, p.Hint)
			}
		}
	}
}
