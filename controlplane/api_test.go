package controlplane_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
)

// TestStatus walks through the statuses that any call can answer with.
func TestStatus(t *testing.T) {
	f := newFixture(t)
	secret := f.CreateSecret(f.company, "TOKEN", "v1")
	secrets := "/api/companies/" + f.company + "/secrets"
	agents := "/api/companies/" + f.company + "/agents"
	hosts := "/api/companies/" + f.company + "/hosts"
	public, private := controlplanetest.HostKey(t)
	const none = "00000000-0000-4000-8000-000000000000"
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }

	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		want                     string // in the body
	}{
		{"health", "GET", "/api/health", "", 200, `{"status":"ok"}`},
		{"unknown path", "GET", "/api/nothing", "", 404, `"error"`},
		{"root", "GET", "/", "", 404, `"error"`},
		{"unknown method", "PUT", "/api/companies", "", 405, `"error"`},
		{"company", "POST", "/api/companies", `{"name":"B"}`, 201, `"id"`},
		{"no name", "POST", "/api/companies", `{}`, 400, `{"path":"name","message":"is required"}`},
		{"null name", "POST", "/api/companies", `{"name":null}`, 400, `is required`},
		{"empty name", "POST", "/api/companies", `{"name":""}`, 400, `1 to 200 bytes`},
		{"control character", "POST", "/api/companies", `{"name":"a\nb"}`, 400, `control`},
		{"unknown field", "POST", "/api/companies", `{"name":"B","nmae":"x"}`, 400, `{"path":"nmae","message":"unknown field"}`},
		{"other case", "POST", "/api/companies", `{"Name":"B"}`, 400, `{"path":"Name","message":"unknown field"}`},
		{"field twice", "POST", "/api/companies", `{"name":"B","name":"C"}`, 400, `given twice`},
		{"wrong type", "POST", "/api/companies", `{"name":5}`, 400, `{"path":"name","message":"must be a string"}`},
		{"array", "POST", "/api/companies", `[]`, 400, `must be an object`},
		{"null body", "POST", "/api/companies", `null`, 400, `Validation error`},
		{"trailing data", "POST", "/api/companies", `{"name":"B"}{}`, 400, `not valid JSON`},
		{"cut", "POST", "/api/companies", `{"name":"B"`, 400, `not valid JSON`},
		{"empty body", "POST", "/api/companies", "", 400, `not valid JSON`},
		{"invalid UTF-8", "POST", "/api/companies", "{\"name\":\"\xff\"}", 400, `not valid JSON`},
		{"too large", "POST", "/api/companies", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`, 413, `"error"`},
		{"no such company", "GET", "/api/companies/" + none + "/secrets", "", 404, "Company not found"},
		{"no such company either", "POST", "/api/companies/" + none + "/secrets", `{"name":"X","value":"x"}`, 404, "Company not found"},

		{"operator", "POST", "/api/operators", `{"name":"o","companyIds":["` + f.company + `"]}`, 201, `"token":"alo_`},
		{"operator of nothing", "POST", "/api/operators", `{"name":"o","companyIds":[]}`, 400, `companyIds`},
		{"operator of nowhere", "POST", "/api/operators", `{"name":"o","companyIds":["` + none + `"]}`, 422, `no such company`},
		{"operator twice of one", "POST", "/api/operators", `{"name":"o","companyIds":["` + f.company + `","` + f.company + `"]}`, 422, `twice`},
		{"operators", "GET", "/api/operators", "", 200, `"bootstrap"`},

		{"secret", "POST", secrets, `{"name":"My API/Key","value":"x"}`, 201, `"key":"my-api-key"`},
		{"same name", "POST", secrets, `{"name":"TOKEN","value":"x"}`, 409, `"Secret already exists: TOKEN"`},
		{"same key", "POST", secrets, `{"name":"token","value":"x"}`, 409, `"Secret already exists: token"`},
		{"no letters", "POST", secrets, `{"name":"///","value":"x"}`, 400, `letter or a digit`},
		{"no value", "POST", secrets, `{"name":"N"}`, 400, `{"path":"value","message":"is required"}`},
		{"empty value", "POST", secrets, `{"name":"N","value":""}`, 400, `must not be empty`},
		{"NUL", "POST", secrets, `{"name":"N","value":"a\u0000b"}`, 400, `NUL`},
		{"number", "POST", secrets, `{"name":"N","value":1234567}`, 400, `{"path":"value","message":"must be a string"}`},
		{"1 MiB", "POST", secrets, `{"name":"BIG","value":"` + strings.Repeat("x", 1<<20) + `"}`, 201, `"latestVersion":1`},
		{"1 MiB of escapes", "POST", secrets, `{"name":"ESC","value":"` + strings.Repeat(`\u0001`, 1<<20) + `"}`, 201, `"latestVersion":1`},
		{"1 MiB and 1", "POST", secrets, `{"name":"N","value":"` + strings.Repeat("x", 1<<20+1) + `"}`, 413, `limit`},
		{"8 MiB", "POST", secrets, `{"name":"N","value":"` + strings.Repeat("x", 8<<20) + `"}`, 413, `"error"`},
		{"no such secret", "GET", "/api/secrets/" + none, "", 404, "Secret not found"},
		{"not an id", "GET", "/api/secrets/x%27%20OR%201=1", "", 404, "Secret not found"},
		{"patch nothing", "PATCH", "/api/secrets/" + secret, `{}`, 400, `nothing to change`},
		{"patch null", "PATCH", "/api/secrets/" + secret, `{"value":null}`, 400, `must not be null`},
		{"patch status", "PATCH", "/api/secrets/" + secret, `{"status":"deleted"}`, 400, `active, disabled, archived`},
		{"patch purpose", "PATCH", "/api/secrets/" + secret, `{"purpose":"server"}`, 400, `unknown field`},
		{"patch", "PATCH", "/api/secrets/" + secret, `{"value":"v2","description":"d"}`, 200, `"latestVersion":2`},
		{"rotate", "POST", "/api/secrets/" + secret + "/rotate", `{"value":"v3"}`, 200, `"latestVersion":3`},
		{"rotate empty", "POST", "/api/secrets/" + secret + "/rotate", `{}`, 400, `is required`},
		{"rotate 1 MiB and 1", "POST", "/api/secrets/" + secret + "/rotate", `{"value":"` + strings.Repeat("x", 1<<20+1) + `"}`, 413, `limit`},
		{"events", "GET", "/api/secrets/" + secret + "/access-events", "", 200, `[]`},
		{"event limit", "GET", "/api/secrets/" + secret + "/access-events?limit=0", "", 400, `limit`},

		{"host", "POST", hosts, `{"name":"h","publicKey":` + quote(public) + `}`, 201, `"signingKey":"agent-launcher-signing-key-1:`},
		{"same host", "POST", hosts, `{"name":"h","publicKey":` + quote(public) + `}`, 409, `Host already exists: h`},
		{"private key", "POST", hosts, `{"name":"h2","publicKey":` + quote(private) + `}`, 400, `private key`},
		{"no key", "POST", hosts, `{"name":"h2","publicKey":"x"}`, 400, `publicKey`},
		{"short key", "POST", hosts, `{"name":"h2","publicKey":` + quote(public[:100]) + `}`, 400, `publicKey`},
		{"no such host", "GET", "/api/hosts/" + none, "", 404, "Host not found"},

		{"agent", "POST", agents, `{"name":"a","adapterType":"process","adapterConfig":{}}`, 201, `"status":"active"`},
		{"agent without config", "POST", agents, `{"name":"a","adapterType":"process"}`, 400, `adapterConfig`},
		{"agent type", "POST", agents, `{"name":"a","adapterType":"../x","adapterConfig":{}}`, 400, `adapterType`},
		{"agent config", "POST", agents, `{"name":"a","adapterType":"process","adapterConfig":[]}`, 400, `must be an object`},
		{"agent host", "POST", agents, `{"name":"a","adapterType":"process","adapterConfig":{},"hostId":"` + none + `"}`, 422, `host not found`},
		{"no such agent", "GET", "/api/agents/" + none, "", 404, "Agent not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			header := http.Header{"Authorization": {"Bearer " + f.OperatorToken}, "Content-Type": {"application/json; charset=utf-8"}}
			res := f.Send(tt.method, tt.path, header, []byte(tt.body))
			if res.Status != tt.status || !strings.Contains(string(res.Body), tt.want) {
				t.Errorf("%d %.300s\nwant %d with %s", res.Status, res.Body, tt.status, tt.want)
			}
			if got := res.Header.Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}

func TestContentType(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct{ media, encoding string }{
		{"", ""}, {"text/plain", ""}, {"application/x-www-form-urlencoded", ""}, {"application/json;;", ""}, {"application/json", "gzip"},
	} {
		header := http.Header{"Authorization": {"Bearer " + f.OperatorToken}}
		if tt.media != "" {
			header.Set("Content-Type", tt.media)
		}
		if tt.encoding != "" {
			header.Set("Content-Encoding", tt.encoding)
		}
		if res := f.Send("POST", "/api/companies", header, []byte(`{"name":"x"}`)); res.Status != 415 {
			t.Errorf("%+v: %d %s", tt, res.Status, res.Body)
		}
		header.Set("Authorization", "Bearer "+f.token)
		if res := f.Send("POST", "/api/hosts/"+f.host+"/resolve", header, []byte{0xa0}); res.Status != 415 {
			t.Errorf("resolve %+v: %d %s", tt, res.Status, res.Body)
		}
	}
}
