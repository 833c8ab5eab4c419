package controlplane_test

import (
	"strings"
	"testing"
)

// TestSecretLife renames, disables, archives and deletes one secret.
func TestSecretLife(t *testing.T) {
	f := newFixture(t)
	id := f.CreateSecret(f.company, "TOKEN", "v1")
	path := "/api/secrets/" + id
	for i, tt := range []struct {
		method, path string
		body         any
		status       int
		want         string
	}{
		{"PATCH", path, map[string]any{"name": "Renamed", "description": "why"}, 200, `"key":"renamed","description":"why"`},
		{"PATCH", path, map[string]any{"description": nil}, 200, `"description":null`},
		{"PATCH", path, map[string]any{"name": "renamed"}, 200, `"name":"renamed"`},
		{"PATCH", path, map[string]any{"status": "disabled"}, 200, `"status":"disabled"`},
		{"POST", path + "/rotate", map[string]any{"value": "v2"}, 422, "Cannot rotate a non-active secret"},
		{"PATCH", path, map[string]any{"value": "v2"}, 422, "Cannot rotate a non-active secret"},
		{"PATCH", path, map[string]any{"status": "archived", "value": "v2"}, 422, "Cannot rotate"},
		{"GET", path, nil, 200, `"status":"disabled","latestVersion":1`},
		{"PATCH", path, map[string]any{"status": "active", "value": "v2"}, 200, `"status":"active","latestVersion":2`},
		{"DELETE", path, nil, 200, `{"ok":true}`},
		{"DELETE", path, nil, 404, "Secret not found"},
		{"GET", path, nil, 404, "Secret not found"},
		{"PATCH", path, map[string]any{"status": "active"}, 404, "Secret not found"},
		{"POST", path + "/rotate", map[string]any{"value": "v3"}, 404, "Secret not found"},
		{"GET", "/api/companies/" + f.company + "/secrets", nil, 200, `[]`},
		{"GET", path + "/access-events", nil, 200, `[]`},
		{"POST", "/api/companies/" + f.company + "/secrets", map[string]any{"name": "renamed", "value": "v"}, 201, `"latestVersion":1`},
	} {
		res := f.Do(f.OperatorToken, tt.method, tt.path, tt.body)
		if res.Status != tt.status || !strings.Contains(string(res.Body), tt.want) {
			t.Errorf("step %d, %s: %d %s, want %d with %s", i, tt.method, res.Status, res.Body, tt.status, tt.want)
		}
	}
	other := f.CreateSecret(f.company, "other", "v")
	if res := f.Do(f.OperatorToken, "PATCH", "/api/secrets/"+other, map[string]any{"name": "RENAMED"}); res.Status != 409 {
		t.Errorf("renamed onto another: %d %s", res.Status, res.Body)
	}
}
