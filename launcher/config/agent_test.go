package config

import (
	"fmt"
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

// One agent as Paperclip's API returns it, with what PATCH leaves of keys that
// were removed.
const pastedRecord = `{
  "id": "6a2f41a3-c54c-4d2b-8c6c-2c8f0f2f9c11", "companyId": "c1", "name": "Proc", "urlKey": "proc", "role": "general", "title": null,
  "icon": null, "status": "idle", "reportsTo": null, "capabilities": null, "adapterType": "process",
  "adapterConfig": {"command": "/bin/bash", "args": ["x.sh"], "cwd": "/d", "timeoutSec": 60, "graceSec": 5, "model": null, "access.OLD": null,
    "env": {"TOKEN": {"type": "secret_ref", "secretId": "s1", "version": "latest", "projectionClass": "unclassified", "projectionAllowlistKey": null},
            "A": {"type": "secret_ref", "secretId": "s2", "version": 3}, "B": {"type": "secret_ref", "secretId": "s3"},
            "MODE": {"type": "plain", "value": "x"}, "RAW": "y"}},
  "runtimeConfig": {"heartbeat": {"enabled": true, "intervalSec": 15, "wakeOnDemand": true, "maxConcurrentRuns": 1, "maxDailyRuns": null}, "modelProfiles": {}},
  "defaultEnvironmentId": null, "budgetMonthlyCents": 0, "spentMonthlyCents": 0, "pauseReason": null, "pausedAt": null, "errorReason": null,
  "permissions": {"canCreateAgents": false}, "lastHeartbeatAt": null, "metadata": null, "createdAt": "2026-01-01", "updatedAt": "2026-01-01",
  "chainOfCommand": [], "access": {"canAssignTasks": false, "grants": []}
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
		Timeout:  time.Minute, Grace: 5 * time.Second, Lifecycle: LifecycleRun, Overlap: OverlapSkip, OnRotate: RotateRestart, OnRevoke: RevokeKeep,
		AdapterConfig: []byte(`{"args":["x.sh"],"command":"/bin/bash","cwd":"/d"}`),
		Sandbox:       sandbox.Policy{Profile: sandbox.ProfileWorkspace},
	}
	want.Heartbeat.Enabled, want.Heartbeat.Interval = true, 15*time.Second
	if !reflect.DeepEqual(a, want) {
		t.Errorf("got  %+v\nwant %+v", a, want)
	}
}

func TestAgentDefaults(t *testing.T) {
	a, err := LoadAgent(write(t, "a.b-c_1.json", head+`"adapterConfig": {}, "lifecycle": "run", "overlap": "skip", "user": "agent", "runtimeConfig": null}`))
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != "a.b-c_1" || a.Timeout != 0 || a.Grace != 15*time.Second || a.User != "agent" || string(a.AdapterConfig) != "{}" || len(a.Bindings) > 0 {
		t.Errorf("%+v", a)
	}
}

// Spaces and the order of keys make no other agent.
func TestEqualAgents(t *testing.T) {
	file := write(t, "a.json", head+`"adapterConfig": {"a": {"x": 1}, "b": 2, "env": {"A": "1", "B": "2"}}}`)
	one, err := LoadAgent(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(head+"\n\"adapterConfig\": {\"env\": {\"B\": \"2\",\n\"A\": \"1\"}, \"b\":2,\"a\": {\"x\":1}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if other, err := LoadAgent(file); err != nil || !reflect.DeepEqual(one, other) {
		t.Errorf("%+v\n%+v\n%v", one, other, err)
	}
}

func TestHeartbeat(t *testing.T) {
	for _, c := range []struct {
		text     string
		enabled  bool
		interval time.Duration
	}{
		{``, true, 0},
		{`, "runtimeConfig": {}`, true, 0},
		{`, "runtimeConfig": {"heartbeat": null}`, true, 0},
		{`, "runtimeConfig": {"heartbeat": {}}`, true, 0},
		{`, "runtimeConfig": {"heartbeat": {"intervalSec": 1.5}}`, true, 1500 * time.Millisecond},
		{`, "runtimeConfig": {"heartbeat": {"enabled": false, "intervalSec": 15}}`, false, 15 * time.Second},
		{`, "runtimeConfig": {"heartbeat": {"enabled": true, "intervalSec": 0}}`, false, 0},
		{`, "runtimeConfig": {"heartbeat": {"intervalSec": 0, "enabled": true}}`, false, 0},
	} {
		a, err := LoadAgent(write(t, "a.json", head+`"adapterConfig": {}`+c.text+"}"))
		if err != nil || a.Heartbeat.Enabled != c.enabled || a.Heartbeat.Interval != c.interval {
			t.Errorf("%s: %+v, %v", c.text, a, err)
		}
	}
}

func TestAgentProblems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []want
	}{
		{"nothing", "§§§§{}", []want{{"$.id", "is missing"}, {"$.companyId", "is missing"}, {"$.adapterType", "is missing"}, {"$.adapterConfig", "is missing"}}},
		{"null for what is required", `{"id": §null, "companyId": "c", "adapterType": "p", "adapterConfig": §null}`, []want{
			{"$.id", "must be a string, got null"}, {"$.adapterConfig", "must be an object, got null"}}},
		{"ids", `{"id": §"..", "companyId": §"a\u001b[31m", "adapterType": §"../../bin/sh", "adapterConfig": {}}`, []want{
			{"$.id", "must be an id"}, {"$.companyId", "must be an id"}, {"$.adapterType", "must be an adapter type"}}},
		{"unknown keys", head + `"adapterConfig": {}, "adapterTyp": §1, "zzz": §2}`, []want{{"$.adapterTyp", "did you mean adapterType?"}, {"$.zzz", `unknown key "zzz"`}}},
		{"life", head + "\"adapterConfig\": {},\n\"onRotate\": §\"never\", \"onRevoke\": §true,\n\"staleGraceSec\": §604801}", []want{
			{"$.onRotate", "must be restart or nextStart"}, {"$.onRevoke", "must be a string, got a boolean"}, {"$.staleGraceSec", "number of seconds from 0 to 604800"}}},
		{"sandbox", head + "\"adapterConfig\": {},\n\"sandbox\": {\"profile\": §\"of\", \"read\": [§\"a\", \"/b\"],\n\"connectTcp\": [§0, 443, §70000], \"limits\": {\"memory\": §1, \"cpu\": §0, \"pids\": §0.5, \"nproc\": §0, \"nofile\": §1.5},\n\"allowEnv\": [§\"a b\"], \"wrte\": §[], \"bindTcp\": §1}}", []want{
			{"$.sandbox.profile", "workspace or strict or off"}, {"$.sandbox.read[0]", "absolute"},
			{"$.sandbox.connectTcp[0]", "port"}, {"$.sandbox.connectTcp[2]", "port"},
			{"$.sandbox.limits.memory", "from 1048576"}, {"$.sandbox.limits.cpu", "from 0.01 to 4096"}, {"$.sandbox.limits.pids", "whole number"}, {"$.sandbox.limits.nproc", "from 1"}, {"$.sandbox.limits.nofile", "whole number"},
			{"$.sandbox.allowEnv[0]", "name of a variable"}, {"$.sandbox.wrte", "did you mean write?"}, {"$.sandbox.bindTcp", "an array of ports"}}},
		{"neither now nor later", head + `"adapterConfig": {}, "lifecycle": §"hunter2", "overlap": §"x"}`, []want{
			{"$.lifecycle", "must be run or service, got a string of length 7"}, {"$.overlap", "must be skip or replace"}}},
		{"access", head + "\n\"adapterConfig\": {\"access.X\": §{}}}", []want{{`$.adapterConfig["access.X"]`, "bind the secret under env"}}},
		{"durations", head + `"adapterConfig": {"timeoutSec": §-1, "graceSec": §601}}`, []want{
			{"$.adapterConfig.timeoutSec", "number of seconds from 0 to 604800, got -1"}, {"$.adapterConfig.graceSec", "from 0 to 600, got 601"}}},
		{"heartbeat", head + `"adapterConfig": {}, "runtimeConfig": {"hartbeat": §{}, "heartbeat": {"enabled": §"true", "intervalSec": §0.001, "intervallSec": §1}}}`, []want{
			{"$.runtimeConfig.hartbeat", "did you mean heartbeat?"},
			{"$.runtimeConfig.heartbeat.enabled", `must be a boolean, got "true" | write true without the quotes`},
			{"$.runtimeConfig.heartbeat.intervalSec", "number of seconds that is 0 or from 1 to 604800, got 0.001"},
			{"$.runtimeConfig.heartbeat.intervallSec", "did you mean intervalSec?"}}},
		{"user", head + `"adapterConfig": {}, "user": §"a:b"}`, []want{{"$.user", "must be the name of an account"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := LoadAgent(write(t, "a.json", c.text))
			compare(t, c.text, err, c.want)
		})
	}
}

func TestLimits(t *testing.T) {
	a, err := LoadAgent(write(t, "a.json", head+`"adapterConfig": {}, "sandbox": {"limits": {"nofile": 64, "memory": 536870912, "pids": 50, "cpu": 0.5}}}`))
	if err != nil || a.Sandbox.Limits != (sandbox.Limits{NoFile: 64, Memory: 512 << 20, Pids: 50, CPU: 0.5}) {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestAgentNames(t *testing.T) {
	for _, name := range []string{"a b", "ü", strings.Repeat("a", 65), ".hidden", ""} {
		text := "§" + head + `"adapterConfig": {}}`
		_, err := LoadAgent(write(t, name+".json", text))
		compare(t, text, err, []want{{"$", "the file's name is no agent's name"}})
	}
}

func TestLoadAgents(t *testing.T) {
	dir := t.TempDir()
	good := head + `"adapterConfig": {"env": {"API_TOKEN": "x"}}}`
	for name, text := range map[string]string{
		"a.json": good, "b.json": strings.Replace(good, "a1", "b1", 1), "bad.json": "{", "copy.json": "\n" + good,
		"c.json": strings.Replace(strings.Replace(good, "a1", "c1", 1), `{"env"`, `{"timeoutSec": "x", "env"`, 1), "d.json": strings.Replace(good, "a1", "c1", 1),
		".a.json": "{", "a.json~": "{", "#a.json#": "{", ".a.json.swp": "{", ".#a.json": "{", "4913": "{", "notes.txt": "{",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for to, name := range map[string]string{"nowhere": "dangling.json", "../b": "later.json"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	agents, problems := LoadAgents(dir)
	var lines []string
	for _, a := range agents {
		lines = append(lines, a.Name)
	}
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%s:%d:%d %s %v", filepath.Base(p.File), p.Line, p.Col, p.Path, p.Warning))
	}
	want := []string{"a", "b",
		"a.json:1:98 $.adapterConfig.env.API_TOKEN true", "b.json:1:98 $.adapterConfig.env.API_TOKEN true", "bad.json:1:2 $ false",
		"c.json:1:91 $.adapterConfig.timeoutSec false", "c.json:1:117 $.adapterConfig.env.API_TOKEN true",
		"copy.json:2:8 $.id false", "copy.json:2:98 $.adapterConfig.env.API_TOKEN true",
		"d.json:1:8 $.id false", "d.json:1:98 $.adapterConfig.env.API_TOKEN true", // c.json is bad, but its agent may still run
		"dangling.json:1:1 $ false", "later.json:1:1 $ false"}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(problems.Error(), "copy.json:2:8: $.id: the same agent as in "+filepath.Join(dir, "a.json")) ||
		!strings.Contains(problems.Error(), "a.json:1:98: warning: $.adapterConfig.env.API_TOKEN: looks like a secret") {
		t.Error(problems)
	}
	if gone(filepath.Join(dir, "dangling.json")) || !gone(filepath.Join(dir, "nowhere")) {
		t.Error("a removed file is taken for a dangling link")
	}
	if _, problems := LoadAgents(filepath.Join(dir, "nowhere")); len(problems) != 1 || problems[0].File != filepath.Join(dir, "nowhere") {
		t.Errorf("a missing directory: %v", problems)
	}
}

// Kubernetes and others swap a whole directory by one link.
func TestSymlinkedAgents(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{os.Mkdir(filepath.Join(dir, "..v1"), 0o755), os.WriteFile(filepath.Join(dir, "..v1", "a.json"), []byte(head+`"adapterConfig": {}}`), 0o644),
		os.Symlink("..v1", filepath.Join(dir, "..data")), os.Symlink("..data/a.json", filepath.Join(dir, "a.json"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if agents, problems := LoadAgents(dir); len(agents) != 1 || len(problems) != 0 || agents[0].File != filepath.Join(dir, "a.json") {
		t.Errorf("%v, %v", agents, problems)
	}
	if err := os.Chmod(filepath.Join(dir, "..v1"), 0o777); err != nil {
		t.Fatal(err)
	}
	if agents, problems := LoadAgents(dir); len(agents) != 0 || len(problems) != 1 || problems[0].Hint != "chmod go-w "+filepath.Join(dir, "..v1") {
		t.Errorf("%v, %v", agents, problems)
	}
}

func TestPlaceOfAnothersProblem(t *testing.T) {
	text := head + "\n\"user\": \"x\", \"adapterConfig\": {\"args\": [\"a\",\n \"b\"], \"argsMore\": 1}}"
	a, err := LoadAgent(write(t, "a.json", text))
	if err != nil {
		t.Fatal(err)
	}
	for path, place := range map[string]string{"$": "1:1", "$.user": "2:9", "$.adapterConfig.args[1]": "3:2", "$.adapterConfig.args[7]": "2:40", "$.adapterConfig.argsMore": "3:20", "$.nothing": "1:1"} {
		if p := a.Problem(path, "m", "h"); fmt.Sprintf("%d:%d", p.Line, p.Col) != place || p.Path != path || p.Message != "m" || p.Hint != "h" {
			t.Errorf("%s is at %+v, want %s", path, p, place)
		}
	}
	if err := os.Remove(a.File); err != nil {
		t.Fatal(err)
	}
	if p := a.Problem("$.user", "m", ""); p.Line != 1 || p.Col != 1 {
		t.Errorf("%+v", p)
	}
}
