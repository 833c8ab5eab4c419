package controlplane_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestEnv: every form of an env value, accepted or refused with its place.
func TestEnv(t *testing.T) {
	f := newFixture(t)
	id := f.CreateSecret(f.company, "TOKEN", "v")
	post := func(env string) (int, string) {
		res := f.Do(f.OperatorToken, "POST", "/api/companies/"+f.company+"/agents",
			map[string]any{"name": "a", "adapterType": "process", "adapterConfig": json.RawMessage(`{"env":` + strings.ReplaceAll(env, "$ID", id) + `}`)})
		return res.Status, string(res.Body)
	}
	for _, tt := range []struct {
		env    string
		status int
		want   string
	}{
		{`null`, 201, `"id"`},
		{`{}`, 201, `"env":{}`},
		{`{"A":"x","B":{"type":"plain","value":"y"}}`, 201, `"env":{"A":"***REDACTED***","B":{"type":"plain","value":"***REDACTED***"}}`},
		{`{"PATH":"/bin","LD_PRELOAD":"x"}`, 201, `"id"`}, // plain: the host decides
		{`{"T":{"type":"secret_ref","secretId":"$ID"}}`, 201, `"secretId":"` + id + `"`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","version":"latest"}}`, 201, `"version":"latest"`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","version":9}}`, 201, `"version":9`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","projectionClass":"unclassified","projectionAllowlistKey":null}}`, 201, `"id"`},

		{`[]`, 400, `adapterConfig.env`},
		{`{"T":5}`, 400, `{"path":"adapterConfig.env.T","message":"must be a string or an object`},
		{`{"T":null}`, 400, `adapterConfig.env.T`},
		{`{"T":{}}`, 400, `adapterConfig.env.T.type`},
		{`{"T":{"type":7}}`, 400, `adapterConfig.env.T.type`},
		{`{"T":{"type":"plain"}}`, 400, `adapterConfig.env.T.value`},
		{`{"T":{"type":"plain","value":"x","x":1}}`, 400, `{"path":"adapterConfig.env.T.x","message":"unknown field"}`},
		{`{"T":"a\u0000b"}`, 400, `NUL`},
		{`{"T":{"type":"secret_ref"}}`, 400, `adapterConfig.env.T.secretId`},
		{`{"T":{"type":"secret_ref","secretId":"x"}}`, 400, `must be a UUID`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","version":0}}`, 400, `adapterConfig.env.T.version`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","version":-1}}`, 400, `adapterConfig.env.T.version`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","version":1.5}}`, 400, `adapterConfig.env.T.version`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","version":4294967296}}`, 400, `adapterConfig.env.T.version`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","version":"3"}}`, 400, `adapterConfig.env.T.version`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","version":null}}`, 400, `adapterConfig.env.T.version`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","value":"x"}}`, 400, `unknown field`},
		{`{"T":{"type":"secret_ref","secretId":"$ID","projectionClass":"class_3_static_lease"}}`, 422, `not enforced`},
		{`{"1T":"x"}`, 422, `not a variable name`},
		{`{"A=B":"x"}`, 422, `not a variable name`},
		{`{"":"x"}`, 422, `empty name`},
		{`{"PAPERCLIP_X":"x"}`, 422, `set by the launcher`},
		{`{"PAPERCLIP_API_KEY":{"type":"secret_ref","secretId":"$ID"}}`, 422, `reserved`},
		{`{"LD_PRELOAD":{"type":"secret_ref","secretId":"$ID"}}`, 422, `loader`},
		{`{"PATH":{"type":"secret_ref","secretId":"$ID"}}`, 422, `set by the launcher`},
		{`{"T":"***REDACTED***"}`, 422, `give the value itself`},
		{`{"T":{"type":"plain","value":"***REDACTED***"}}`, 422, `give the value itself`},
		{`{"T":{"type":"user_secret_ref","key":"k"}}`, 422, `Paperclip itself delivers`},
		{`{"T":{"type":"composio_connection","id":"c"}}`, 422, `belong to Composio`},
		{`{"T":{"type":"oauth"}}`, 422, `belong to Composio`},
		{`{"T":{"type":"magic"}}`, 422, `must be plain or secret_ref`},
		// every problem, not just the first
		{`{"1A":"x","B":{"type":"magic"}}`, 422, `adapterConfig.env.B`},
	} {
		if status, body := post(tt.env); status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %s, want %d with %s", tt.env, status, body, tt.status, tt.want)
		}
	}
}

// TestAgentPatch: merging, replacing, masking, assignment, status.
func TestAgentPatch(t *testing.T) {
	f := newFixture(t)
	secret := f.CreateSecret(f.company, "TOKEN", "v")
	agent := f.CreateAgent(f.company, map[string]any{"name": "a", "adapterType": "process", "runtimeConfig": map[string]any{"heartbeat": map[string]any{"enabled": true}},
		"adapterConfig": map[string]any{"command": "/bin/x", "own": map[string]any{"n": json.Number("12345678901234567890")}, "env": map[string]any{"MODE": "hidden-plain", "T": ref(secret, 1)}}})
	for i, tt := range []struct {
		body   string
		status int
		want   string
	}{
		{`{}`, 200, `"adapterConfig":{"command":"/bin/x","env":{"MODE":"***REDACTED***","T":{"secretId":"` + secret + `","type":"secret_ref","version":1}},"own":{"n":12345678901234567890}}`},
		{`{"name":"b","adapterConfig":{"cwd":"/d"}}`, 200, `"command":"/bin/x","cwd":"/d"`},
		{`{"adapterConfig":{"env":{"MODE":"***REDACTED***"}}}`, 422, `give the value itself`},
		{`{"adapterConfig":{"env":{"U":{"type":"secret_ref","secretId":"` + secret + `"}}}}`, 200, `"env":{"U":{`},
		{`{"adapterConfig":{"env":null}}`, 200, `"env":null`},
		{`{"adapterConfig":{"k":1},"replaceAdapterConfig":true}`, 200, `"adapterConfig":{"k":1}`},
		{`{"adapterConfig":null}`, 400, `must not be null`},
		{`{"hostId":"` + f.host + `"}`, 200, `"hostId":"` + f.host + `"`},
		{`{"name":"c"}`, 200, `"hostId":"` + f.host + `"`},
		{`{"hostId":null}`, 200, `"hostId":null`},
		{`{"status":"paused"}`, 200, `"status":"paused"`},
		{`{"status":"gone"}`, 400, `active, paused, terminated`},
		{`{"runtimeConfig":{"heartbeat":{"enabled":false}}}`, 200, `"runtimeConfig":{"heartbeat":{"enabled":false}}`},
		{`{"companyId":"x"}`, 400, `unknown field`},
		{`{"id":"x"}`, 400, `unknown field`},
	} {
		res := f.Do(f.OperatorToken, "PATCH", "/api/agents/"+agent, json.RawMessage(tt.body))
		if res.Status != tt.status || !strings.Contains(string(res.Body), tt.want) {
			t.Errorf("step %d, %s: %d %s, want %d with %s", i, tt.body, res.Status, res.Body, tt.status, tt.want)
		}
		if strings.Contains(string(res.Body), "hidden-plain") {
			t.Errorf("step %d shows a plain value", i)
		}
	}
}
