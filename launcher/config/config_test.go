package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/agent-launcher/agent-launcher/protocol"
)

const signingKey = "agent-launcher-signing-key-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

const plane = `"controlPlane": {"source": "sealed", "url": "https://cp.example", "hostId": "h1", "tokenFile": "t", "signingKey": "` + signingKey + `"}`

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// place is line:col path: a part of the message.
type place struct {
	line, col int
	path      string
	says      string
}

func compare(t *testing.T, err error, want []place) {
	t.Helper()
	got, _ := err.(Problems)
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d:\n%v", len(got), len(want), err)
	}
	for i, w := range want {
		p := got[i]
		if p.Line != w.line || p.Col != w.col || p.Path != w.path || !strings.Contains(p.Message+" "+p.Hint, w.says) {
			t.Errorf("problem %d is %s (hint %q), want %+v", i, p.Error(), p.Hint, w)
		}
	}
}

func TestConfigProblems(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for _, c := range []struct {
		name, text string
		want       []place
	}{
		{"not JSON", "{\n  \"a\": tru\n}", []place{{2, 11, "$", "not JSON"}}},
		{"empty", "", []place{{1, 1, "$", "not JSON"}}},
		{"two values", "{} {}", []place{{1, 4, "$", "follows"}}},
		{"an array", "[]", []place{{1, 1, "$", "must be an object, not an array"}}},
		{"byte order mark", "\ufeff{}", []place{{1, 1, "$", "byte order mark"}}},
		{"not UTF-8", "{\"\xff\": 1}", []place{{1, 1, "$", "not UTF-8"}}},
		{"duplicate key", "{\"stateDir\": \"a\",\n \"stateDir\": \"b\"}", []place{{2, 2, "$", "duplicate"}}},
		{"nothing", "{}", []place{{1, 1, "$.controlPlane", "missing"}, {1, 1, "$.hostKeyFile", "missing"}}},
		{"unknown keys", "{" + plane + ",\n\"hostKeyFile\": \"k\",\n\"statedir\": \"s\", \"x\": 1}", []place{
			{3, 13, "$.statedir", "did you mean stateDir?"}, {3, 23, "$.x", "known keys"}}},
		{"wrong types", "{" + plane + ",\n\"hostKeyFile\": 1, \"heartbeat\": {\"intervalSec\": \"300\", \"jitter\": 2}}", []place{
			{2, 16, "$.hostKeyFile", "must be a string, not a number"},
			{2, 48, "$.heartbeat.intervalSec", "must be a number, not a string"},
			{2, 65, "$.heartbeat.jitter", "from 0 to 0.5"}}},
		{"not built", "{" + plane + ",\n\"hostKeyFile\": \"k\", \"keeperSocket\": \"s\",\n\"uidRange\": [1, 2]}", []place{
			{2, 37, "$.keeperSocket", "not built yet"}, {3, 13, "$.uidRange", "not built yet"}}},
		{"credential without systemd", "{" + plane + ",\n\"hostKeyFile\": \"credential:host.key\"}", []place{
			{2, 16, "$.hostKeyFile", "CREDENTIALS_DIRECTORY"}}},
		{"credential with a path", "{" + plane + ",\n\"hostKeyFile\": \"credential:../x\"}", []place{{2, 16, "$.hostKeyFile", "plain file name"}}},
		{"control plane", `{"hostKeyFile": "k", "controlPlane": {"source": "paperclip", "url": "http://cp.example", "hostId": "a/b",
 "tokenFile": "", "signingKey": "x"}}`, []place{
			{1, 49, "$.controlPlane.source", "not built yet"},
			{1, 69, "$.controlPlane.url", "loopback only"},
			{1, 100, "$.controlPlane.hostId", "not an id"},
			{2, 15, "$.controlPlane.tokenFile", "not a path"},
			{2, 33, "$.controlPlane.signingKey", "must begin with"}}},
		{"token in the URL", `{"hostKeyFile": "k", ` + strings.Replace(plane, "https://", "https://u:p@", 1) + `}`, []place{
			{1, 66, "$.controlPlane.url", "tokenFile"}}},
		{"private key in place of the signing key", `{"hostKeyFile": "k", ` + strings.Replace(plane, signingKey, protocol.PrivateKeyPrefix+"c2VjcmV0", 1) + `}`, []place{
			{1, 136, "$.controlPlane.signingKey", "this is a private key"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(write(t, "config.json", c.text))
			compare(t, err, c.want)
			if err != nil && strings.Contains(err.Error(), "c2VjcmV0") {
				t.Error("the message quotes the key")
			}
		})
	}
}

func TestConfigDefaultsAndPaths(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
	path := write(t, "config.json", "{"+plane+`, "hostKeyFile": "credential:host.key", "stateDir": "state", "$schema": "s"}`)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(path)
	for _, x := range []struct{ what, got, want string }{
		{"hostKeyFile", c.HostKeyFile, "/run/credentials/x/host.key"},
		{"tokenFile", c.ControlPlane.TokenFile, filepath.Join(dir, "t")},
		{"stateDir", c.StateDir, filepath.Join(dir, "state")},
		{"socket", c.Socket, "/run/agent-launcher/control.sock"},
		{"adaptersDir", c.AdaptersDir, "/etc/agent-launcher/adapters.d"},
	} {
		if x.got != x.want {
			t.Errorf("%s is %q, want %q", x.what, x.got, x.want)
		}
	}
	if c.Heartbeat.Interval != 5*time.Minute || c.Heartbeat.Jitter != 0.1 {
		t.Errorf("heartbeat %+v", c.Heartbeat)
	}
}

func TestUntrustedFile(t *testing.T) {
	path := write(t, "config.json", "{}")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	compare(t, err, []place{{1, 1, "$", "chmod go-w"}})
}

// The example passes the loader and its own schema, and every key is described.
func TestExampleAndSchemas(t *testing.T) {
	example, err := os.ReadFile("../../config.example.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(write(t, "config.json", string(example))); err != nil {
		t.Error(err)
	}
	schema, err := Schema("config")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(example, schema); err != nil {
		t.Error(err)
	}
	for _, kind := range []string{"config", "adapter"} {
		schema, err := Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := json.Unmarshal(schema, &v); err != nil {
			t.Fatal(err)
		}
		described(t, kind, v)
		c := jsonschema.NewCompiler()
		if err := c.AddResource("s.json", v); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Compile("s.json"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if _, err := Schema("x"); err == nil {
		t.Error("schema x exists")
	}
}

func described(t *testing.T, path string, schema map[string]any) {
	props, _ := schema["properties"].(map[string]any)
	for name, p := range props {
		prop := p.(map[string]any)
		if s, _ := prop["description"].(string); s == "" {
			t.Errorf("%s.%s has no description", path, name)
		}
		described(t, path+"."+name, prop)
	}
}
