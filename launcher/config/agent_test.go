package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

const head = `{"id": "a1", "companyId": "c1", "adapterType": "process", `

// A record as Paperclip's API returns it can be pasted.
const pastedRecord = `{
  "id": "6a2f41a3-c54c-4d2b-8c6c-2c8f0f2f9c11", "companyId": "c1", "name": "Proc", "role": "general", "title": null, "icon": null,
  "status": "idle", "reportsTo": null, "capabilities": null, "adapterType": "process", "urlKey": "proc",
  "adapterConfig": {"command": "/bin/bash", "args": ["x.sh"], "cwd": "/d", "timeoutSec": 60, "graceSec": 5,
    "env": {"TOKEN": {"type": "secret_ref", "secretId": "s1", "version": "latest", "projectionClass": "unclassified", "projectionAllowlistKey": null},
            "A": {"type": "secret_ref", "secretId": "s2", "version": 3}, "B": {"type": "secret_ref", "secretId": "s3"},
            "MODE": {"type": "plain", "value": "x"}, "RAW": "y"}},
  "runtimeConfig": {"heartbeat": {"enabled": true, "intervalSec": 15, "wakeOnDemand": true, "maxConcurrentRuns": 1}},
  "budgetMonthlyCents": 0, "spentMonthlyCents": 0, "permissions": {}, "lastHeartbeatAt": null, "metadata": null,
  "createdAt": "2026-01-01", "updatedAt": "2026-01-01"
}`

func TestPastedRecord(t *testing.T) {
	a, err := LoadAgent(write(t, "proc.json", pastedRecord))
	if err != nil {
		t.Fatal(err)
	}
	want := &Agent{
		File: a.File, Name: "proc", ID: "6a2f41a3-c54c-4d2b-8c6c-2c8f0f2f9c11", CompanyID: "c1", DisplayName: "Proc", AdapterType: "process",
		Plain:    map[string]string{"MODE": "x", "RAW": "y"},
		Bindings: []protocol.Binding{{Name: "A", SecretID: "s2", Version: 3}, {Name: "B", SecretID: "s3"}, {Name: "TOKEN", SecretID: "s1"}},
		Timeout:  time.Minute, Grace: 5 * time.Second,
		AdapterConfig: []byte(`{"args":["x.sh"],"command":"/bin/bash","cwd":"/d"}`),
	}
	want.Sandbox.Profile = sandbox.ProfileWorkspace
	want.Heartbeat.Enabled, want.Heartbeat.Interval = true, 15*time.Second
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got  %+v\nwant %+v", a, want)
	}
}

func TestHeartbeat(t *testing.T) {
	for _, c := range []struct {
		text    string
		enabled bool
	}{
		{``, true},
		{`, "runtimeConfig": {}`, true},
		{`, "runtimeConfig": {"heartbeat": {}}`, true},
		{`, "runtimeConfig": {"heartbeat": {"enabled": false}}`, false},
		{`, "runtimeConfig": {"heartbeat": {"intervalSec": 0}}`, false},
	} {
		a, err := LoadAgent(write(t, "a.json", head+`"adapterConfig": {}`+c.text+"}"))
		if err != nil || a.Heartbeat.Enabled != c.enabled {
			t.Errorf("%s: %+v, %v", c.text, a, err)
		}
	}
}

func TestAgentProblems(t *testing.T) {
	env := func(text string) string { return head + "\n\"adapterConfig\": {\"env\": {" + text + "}}}" }
	one := func(path, says string) []place { return []place{{2, 0, "$.adapterConfig.env." + path, says}} }
	for _, c := range []struct {
		name, text string
		want       []place
	}{
		{"nothing", "{}", []place{{1, 1, "$.id", "missing"}, {1, 1, "$.companyId", "missing"}, {1, 1, "$.adapterType", "missing"}, {1, 1, "$.adapterConfig", "missing"}}},
		{"unknown key", head + `"adapterConfig": {}, "adapterTyp": 1}`, []place{{1, 94, "$.adapterTyp", "did you mean adapterType?"}}},
		{"not built", head + "\"adapterConfig\": {},\n\"lifecycle\": \"service\", \"overlap\": \"replace\",\n\"staleGraceSec\": 1}", []place{
			{2, 14, "$.lifecycle", "not built yet"}, {2, 36, "$.overlap", "not built yet"},
			{3, 18, "$.staleGraceSec", "not built yet"}}},
		{"sandbox", head + "\n\"adapterConfig\": {},\n\"sandbox\": {\"profile\": \"of\", \"read\": [\"a\", \"/b\"],\n\"connectTcp\": [0, 443, 70000], \"limits\": {\"memory\": 1, \"nproc\": 0, \"nofile\": 1.5},\n\"allowEnv\": [\"a b\"], \"wrte\": []}}", []place{
			{3, 24, "$.sandbox.profile", "workspace, strict, off"}, {3, 39, "$.sandbox.read[0]", "absolute"},
			{4, 16, "$.sandbox.connectTcp[0]", "port"}, {4, 24, "$.sandbox.connectTcp[2]", "port"},
			{4, 53, "$.sandbox.limits.memory", "not built yet"}, {4, 65, "$.sandbox.limits.nproc", "from 1"}, {4, 78, "$.sandbox.limits.nofile", "whole number"},
			{5, 14, "$.sandbox.allowEnv[0]", "name of a variable"}, {5, 30, "$.sandbox.wrte", "did you mean write?"}}},
		{"access", head + "\n\"adapterConfig\": {\"access.X\": {}}}", []place{{2, 31, "$.adapterConfig.access.X", "under env"}}},
		{"bad name", env(`"A-B": "x"`), one("A-B", "must match")},
		{"reserved", env(`"PAPERCLIP_X": "x"`), one("PAPERCLIP_X", "reserved")},
		{"reserved secret", env(`"PAPERCLIP_API_KEY": {"type": "secret_ref", "secretId": "s"}`), one("PAPERCLIP_API_KEY", "reserved")},
		{"loader as plain", env(`"LD_PRELOAD": "x"`), one("LD_PRELOAD", "sandbox.allowEnv")},
		{"loader as secret", env(`"NODE_OPTIONS": {"type": "secret_ref", "secretId": "s"}`), one("NODE_OPTIONS", "loader or interpreter")},
		{"PATH as secret", env(`"PATH": {"type": "secret_ref", "secretId": "s"}`), one("PATH", "cannot be a secret")},
		{"a number", env(`"A": 1`), one("A", "not a number")},
		{"NUL", env(`"A": "x\u0000y"`), one("A", "NUL")},
		{"the mask", env(`"A": "***REDACTED***"`), one("A", "mask")},
		{"user secret", env(`"A": {"type": "user_secret_ref", "key": "k"}`), one("A.type", "only the real Paperclip")},
		{"composio", env(`"A": {"type": "composio_connection", "id": "k"}`), one("A.type", "belong to Composio")},
		{"oauth", env(`"A": {"type": "oauth_grant"}`), one("A.type", "belong to Composio")},
		{"refresh token", env(`"A": {"type": "refresh_token"}`), one("A.type", "belong to Composio")},
		{"unknown type", env(`"A": {"type": "vault"}`), one("A.type", "plain or secret_ref")},
		{"no type", env(`"A": {"secretId": "s"}`), one("A", `"type"`)},
		{"no id", env(`"A": {"type": "secret_ref"}`), one("A.secretId", "missing")},
		{"version text", env(`"A": {"type": "secret_ref", "secretId": "s", "version": "3"}`), one("A.version", "latest")},
		{"version zero", env(`"A": {"type": "secret_ref", "secretId": "s", "version": 0}`), one("A.version", "from 1")},
		{"version fraction", env(`"A": {"type": "secret_ref", "secretId": "s", "version": 1.5}`), one("A.version", "from 1")},
		{"unknown key of a ref", env(`"A": {"type": "secret_ref", "secretId": "s", "value": "hunter2"}`), one("A.value", "unknown key")},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := LoadAgent(write(t, "a.json", c.text))
			problems, _ := err.(Problems)
			for i := range c.want { // column 0: not worth counting by hand
				if c.want[i].col == 0 && i < len(problems) {
					c.want[i].col = problems[i].Col
				}
			}
			compare(t, err, c.want)
		})
	}
}

// What a policy says arrives; what it leaves out is the workspace profile's.
func TestSandbox(t *testing.T) {
	a, err := LoadAgent(write(t, "a.json", head+`"adapterConfig": {"env": {"NODE_OPTIONS": "x", "LD_PRELOAD": "y"}},
		"sandbox": {"allowEnv": ["LD_PRELOAD", "NODE_OPTIONS"], "write": ["/srv/x/../y"], "bindTcp": [80], "unixSockets": true, "limits": {"fsize": 5}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := sandbox.Policy{Profile: sandbox.ProfileWorkspace, Write: []string{"/srv/y"}, BindTCP: []uint16{80}, UnixSockets: true, Limits: sandbox.Limits{FSize: 5}}
	if !reflect.DeepEqual(a.Sandbox, want) || len(a.Plain) != 2 {
		t.Errorf("%+v", a)
	}
}

// A secret that was pasted into a wrong place is in no message.
func TestMessagesQuoteNoValue(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, text := range []string{
		head + `"adapterConfig": {"env": {"PAPERCLIP_X": "` + secret + `"}}}`,
		head + `"adapterConfig": {"env": {"A": {"type": "` + secret + `"}}}}`,
		head + `"adapterConfig": {"env": {"A": {"type": "secret_ref", "secretId": "a b` + secret + `"}}}}`,
		head + `"adapterConfig": {"env": {"A": {"type": "secret_ref", "secretId": "s", "version": "` + secret + `"}}}}`,
		head + `"adapterConfig": {"env": "` + secret + `", "timeoutSec": "` + secret + `"}, "lifecycle": "` + secret + `"}`,
	} {
		_, err := LoadAgent(write(t, "a.json", text))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}

func TestLoadAgents(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.json": head + `"adapterConfig": {}}`, "bad.json": "{", "copy.json": head + `"adapterConfig": {}}`,
		".a.json": "{", "a.json~": "{", "#a.json#": "{", ".a.json.swp": "{", "notes.txt": "{",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	agents, problems := LoadAgents(dir)
	if len(agents) != 1 || agents[0].Name != "a" || len(problems) != 2 {
		t.Fatalf("%v\n%v", agents, problems)
	}
	if p := problems[1]; filepath.Base(p.File) != "copy.json" || !strings.Contains(p.Message, "a.json") {
		t.Errorf("the duplicate id: %v", p)
	}
	if _, problems := LoadAgents(filepath.Join(dir, "nowhere")); len(problems) != 1 || problems[0].File != filepath.Join(dir, "nowhere") {
		t.Errorf("a missing directory: %v", problems)
	}
}

func TestValidateAdapterConfig(t *testing.T) {
	path := write(t, "a.json", head+"\n\"adapterConfig\": {\"command\": 1,\n\"args\": [\"a\", 2], \"extra\": true}}")
	a, err := LoadAgent(path)
	if err != nil {
		t.Fatal(err)
	}
	schema := `{"type": "object", "additionalProperties": false, "properties": {"command": {"type": "string"}, "args": {"type": "array", "items": {"type": "string"}}}}`
	places := map[string]bool{}
	for _, p := range ValidateAdapterConfig(a, []byte(schema)) {
		places[p.Path] = p.Line > 1
	}
	want := map[string]bool{"$.adapterConfig": true, "$.adapterConfig.command": true, "$.adapterConfig.args[1]": true}
	if !reflect.DeepEqual(places, want) {
		t.Errorf("%v", places)
	}
	for _, bad := range []string{`{"$ref": "file:///etc/passwd"}`, `{`, `{"type": 1}`} {
		if ps := ValidateAdapterConfig(a, []byte(bad)); len(ps) != 1 {
			t.Errorf("schema %s: %v", bad, ps)
		}
	}
}

func FuzzLoadAgent(f *testing.F) {
	f.Add([]byte(pastedRecord))
	f.Add([]byte("{"))
	f.Add([]byte(head + `"adapterConfig": {"env": {"A": {"type": "secret_ref"}}}}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "a.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadAgent(path)
		problems, _ := err.(Problems)
		if err != nil && len(problems) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		lines := strings.Count(string(data), "\n") + 1
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines || p.Col < 1 || p.Path == "" || p.Message == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}
