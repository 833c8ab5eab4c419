package controlplane_test

import (
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// TestScope lets everyone who should not try everything they should not.
func TestScope(t *testing.T) {
	f := newFixture(t)
	other := f.CreateCompany("Other")
	secret := f.CreateSecret(f.company, "TOKEN", "v")
	agent := f.agent(t, map[string]any{"TOKEN": ref(secret)})
	id, mine := f.CreateOperator("mine", f.company)
	_, foreign := f.CreateOperator("foreign", other)
	foreignHost, foreignHostToken, _ := f.enrol(t, other, "host-2")
	public, _ := controlplanetest.HostKey(t)

	company := "/api/companies/" + f.company
	calls := []struct {
		method, path    string
		body            any
		mine, foreigner int // statuses of the company's operator and of another's
	}{
		{"GET", company + "/secrets", nil, 200, 403},
		{"POST", company + "/secrets", map[string]any{"name": "N", "value": "v"}, 201, 403},
		{"GET", "/api/secrets/" + secret, nil, 200, 404},
		{"PATCH", "/api/secrets/" + secret, map[string]any{"value": "w"}, 200, 404},
		{"POST", "/api/secrets/" + secret + "/rotate", map[string]any{"value": "w"}, 200, 404},
		{"GET", "/api/secrets/" + secret + "/access-events", nil, 200, 404},
		{"GET", company + "/hosts", nil, 200, 403},
		{"POST", company + "/hosts", map[string]any{"name": "n", "publicKey": public}, 201, 403},
		{"GET", "/api/hosts/" + f.host, nil, 200, 404},
		{"GET", "/api/hosts/" + f.host + "/access-events", nil, 200, 404},
		{"GET", company + "/agents", nil, 200, 403},
		{"POST", company + "/agents", map[string]any{"name": "n", "adapterType": "process", "adapterConfig": map[string]any{}}, 201, 403},
		{"GET", "/api/agents/" + agent, nil, 200, 404},
		{"PATCH", "/api/agents/" + agent, map[string]any{"status": "active"}, 200, 404},
		{"GET", "/api/companies/no-such-company/secrets", nil, 403, 403},
		{"POST", "/api/companies", map[string]any{"name": "n"}, 403, 403},
		{"GET", "/api/operators", nil, 403, 403},
		{"POST", "/api/operators", map[string]any{"name": "n", "companyIds": []string{other}}, 403, 403},
		{"DELETE", "/api/operators/" + id, nil, 403, 403},
		{"DELETE", "/api/hosts/" + foreignHost, nil, 404, 200}, // foreign's own: last of it
		{"DELETE", "/api/secrets/" + secret, nil, 200, 404},
	}
	for _, tt := range calls {
		for _, who := range []struct {
			name, token string
			status      int
		}{
			{"nobody", "", 401},
			{"garbage", "x", 401},
			{"host", f.token, 403},
			{"foreigner", foreign, tt.foreigner},
			{"company's own", mine, tt.mine},
		} {
			res := f.Do(who.token, tt.method, tt.path, tt.body)
			if res.Status != who.status {
				t.Errorf("%s %s as %s: %d %s, want %d", tt.method, tt.path, who.name, res.Status, res.Body, who.status)
			}
			if res.Status == 401 && res.Header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s %s: 401 without WWW-Authenticate", tt.method, tt.path)
			}
		}
	}
	var companies []map[string]any
	f.Do(mine, "GET", "/api/companies", nil).Decode(t, &companies)
	if len(companies) != 1 || companies[0]["id"] != f.company {
		t.Errorf("operator of one company sees %v", companies)
	}
	for name, token := range map[string]string{"operator": mine, "bootstrap": f.OperatorToken, "another host": f.token} {
		if res := f.Resolve(foreignHost, token, request(f.ask(agent))); res.Status != 403 {
			t.Errorf("resolve as %s: %d %s", name, res.Status, res.Body)
		}
	}
	if res := f.Resolve(foreignHost, foreignHostToken, request(f.ask(agent))); res.Status != 401 {
		t.Errorf("resolve with a revoked token: %d %s", res.Status, res.Body)
	}
}

// TestForeignRefs: ids of another company's records are as good as none.
func TestForeignRefs(t *testing.T) {
	f := newFixture(t)
	other := f.CreateCompany("Other")
	foreign := f.CreateSecret(other, "TOKEN", "v")
	foreignHost, _, _ := f.enrol(t, other, "host-2")
	const none = "00000000-0000-4000-8000-000000000000"
	post := func(fields map[string]any) *controlplanetest.Response {
		fields["name"], fields["adapterType"] = "a", "process"
		if fields["adapterConfig"] == nil {
			fields["adapterConfig"] = map[string]any{}
		}
		return f.Do(f.OperatorToken, "POST", "/api/companies/"+f.company+"/agents", fields)
	}
	env := func(id string) map[string]any {
		return map[string]any{"adapterConfig": map[string]any{"env": map[string]any{"T": ref(id)}}}
	}
	a, b := post(env(foreign)), post(env(none))
	if a.Status != 422 || strings.ReplaceAll(string(a.Body), foreign, none) != string(b.Body) {
		t.Errorf("a foreign secret and none differ: %d %s, %s", a.Status, a.Body, b.Body)
	}
	a, b = post(map[string]any{"hostId": foreignHost}), post(map[string]any{"hostId": none})
	if a.Status != 422 || string(a.Body) != string(b.Body) {
		t.Errorf("a foreign host and none differ: %d %s, %s", a.Status, a.Body, b.Body)
	}
	agent := f.agent(t, nil)
	if res := f.Do(f.OperatorToken, "PATCH", "/api/agents/"+agent, map[string]any{"hostId": foreignHost}); res.Status != 422 {
		t.Errorf("assigned to a foreign host: %d %s", res.Status, res.Body)
	}
}

// TestTokens: what does not match to the last byte opens nothing.
func TestTokens(t *testing.T) {
	f := newFixture(t)
	id, token := f.CreateOperator("o", f.company)
	if strings.Contains(f.Log(), token) {
		t.Error("the log holds a token")
	}
	kind, rest, _ := strings.Cut(token, "_")
	last := "A"
	if strings.HasSuffix(token, "A") {
		last = "B"
	}
	for _, bad := range []string{
		token[:len(token)-1], token + "A", token[:len(token)-1] + last, strings.ToUpper(token),
		kind + "_", "alh_" + rest, kind + "_" + strings.Repeat("0", 32) + "_x", "alo_zz_x", strings.Repeat("x", 10000),
	} {
		if res := f.Do(bad, "GET", "/api/companies", nil); res.Status != 401 {
			t.Errorf("%.60q opens: %d", bad, res.Status)
		}
	}
	if res := f.Do(token, "GET", "/api/companies", nil); res.Status != 200 {
		t.Errorf("the token itself: %d", res.Status)
	}
	if res := f.Do(f.OperatorToken, "DELETE", "/api/operators/"+id, nil); res.Status != 200 {
		t.Fatalf("delete operator: %d", res.Status)
	}
	if res := f.Do(token, "GET", "/api/companies", nil); res.Status != 401 {
		t.Errorf("a revoked operator still opens: %d", res.Status)
	}
}

// TestHostRevocation: DELETE holds from the next request on.
func TestHostRevocation(t *testing.T) {
	f := newFixture(t)
	agent := f.agent(t, nil)
	f.resolve(t, f.ask(agent))
	f.DeleteHost(f.host)
	if res := f.Resolve(f.host, f.token, request(f.ask(agent))); res.Status != 401 {
		t.Errorf("resolve after revocation: %d %s", res.Status, res.Body)
	}
	var got struct{ HostID *string }
	f.Do(f.OperatorToken, "GET", "/api/agents/"+agent, nil).Decode(t, &got)
	if got.HostID != nil {
		t.Errorf("agent is still assigned to %s", *got.HostID)
	}
	if res := f.Do(f.OperatorToken, "GET", "/api/hosts/"+f.host, nil); res.Status != 404 {
		t.Errorf("host is still there: %d", res.Status)
	}
}

// TestMalformedResolve: what is not the protocol is 400, never 500.
func TestMalformedResolve(t *testing.T) {
	f := newFixture(t)
	header := map[string][]string{"Authorization": {"Bearer " + f.token}, "Content-Type": {protocol.ContentType}}
	good, err := protocol.Marshal(request(f.ask("a")))
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{
		"empty": nil, "JSON": []byte(`{}`), "cut": good[:len(good)-1], "trailing": append(append([]byte{}, good...), 0), "nested": []byte(strings.Repeat("\x81", 100)),
	} {
		if res := f.Send("POST", "/api/hosts/"+f.host+"/resolve", header, body); res.Status != 400 || !strings.Contains(string(res.Body), `"error"`) {
			t.Errorf("%s: %d %s", name, res.Status, res.Body)
		}
	}
	if res := f.Send("POST", "/api/hosts/"+f.host+"/resolve", header, make([]byte, protocol.MaxRequestSize+1)); res.Status != 413 {
		t.Errorf("too large: %d %s", res.Status, res.Body)
	}
}
