package controlplanetest

import (
	"bytes"
	"crypto/hpke"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Response is an answer of the API.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Decode decodes the JSON body into v.
func (r *Response) Decode(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(r.Body, v); err != nil {
		t.Fatalf("not JSON: %v: %s", err, r.Body)
	}
}

// Do sends a request with a JSON body (none if body is nil) and a bearer token
// (none if empty), and returns whatever the answer is.
func (s *Server) Do(token, method, path string, body any) *Response {
	s.t.Helper()
	header, data := http.Header{}, []byte(nil)
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			s.t.Fatal(err)
		}
		header.Set("Content-Type", "application/json")
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return s.Send(method, path, header, data)
}

// Send sends a request exactly as given. A transport error fails the test.
func (s *Server) Send(method, path string, header http.Header, body []byte) *Response {
	s.t.Helper()
	req, err := http.NewRequest(method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header = header
	res, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return &Response{Status: res.StatusCode, Header: res.Header, Body: data}
}

// Resolve sends q as the host and returns the raw answer; sign.Verify reads it.
func (s *Server) Resolve(hostID, token string, q *protocol.ResolveRequest) *Response {
	s.t.Helper()
	data, err := protocol.Marshal(q)
	if err != nil {
		s.t.Fatal(err)
	}
	header := http.Header{"Content-Type": {protocol.ContentType}, "Authorization": {"Bearer " + token}}
	return s.Send("POST", "/api/hosts/"+hostID+"/resolve", header, data)
}

// call does what Do does as the bootstrap operator and fails the test unless
// the answer has the status want.
func (s *Server) call(want int, method, path string, body, v any) {
	s.t.Helper()
	res := s.Do(s.OperatorToken, method, path, body)
	if res.Status != want {
		s.t.Fatalf("%s %s: %d, want %d: %s", method, path, res.Status, want, res.Body)
	}
	if v != nil {
		res.Decode(s.t, v)
	}
}

type created struct {
	ID    string `json:"id"`
	Token string `json:"token"`
}

// CreateCompany creates a company and returns its id.
func (s *Server) CreateCompany(name string) string {
	s.t.Helper()
	var c created
	s.call(201, "POST", "/api/companies", map[string]any{"name": name}, &c)
	return c.ID
}

// CreateOperator creates an operator of these companies.
func (s *Server) CreateOperator(name string, companies ...string) (id, token string) {
	s.t.Helper()
	var c created
	s.call(201, "POST", "/api/operators", map[string]any{"name": name, "companyIds": companies}, &c)
	return c.ID, c.Token
}

// CreateSecret creates a secret and returns its id.
func (s *Server) CreateSecret(company, name, value string) string {
	s.t.Helper()
	var c created
	s.call(201, "POST", "/api/companies/"+company+"/secrets", map[string]any{"name": name, "value": value}, &c)
	return c.ID
}

// Rotate gives a secret a new value, which is its newest version.
func (s *Server) Rotate(secret, value string) {
	s.t.Helper()
	s.call(200, "POST", "/api/secrets/"+secret+"/rotate", map[string]any{"value": value}, nil)
}

// PatchSecret changes a secret: value, name, description, status.
func (s *Server) PatchSecret(secret string, fields map[string]any) {
	s.t.Helper()
	s.call(200, "PATCH", "/api/secrets/"+secret, fields, nil)
}

// DeleteSecret deletes a secret.
func (s *Server) DeleteSecret(secret string) {
	s.t.Helper()
	s.call(200, "DELETE", "/api/secrets/"+secret, nil, nil)
}

// CreateHost enrols a host with the line that keygen prints.
func (s *Server) CreateHost(company, name, publicKey string) (id, token string) {
	s.t.Helper()
	var c created
	s.call(201, "POST", "/api/companies/"+company+"/hosts", map[string]any{"name": name, "publicKey": publicKey}, &c)
	return c.ID, c.Token
}

// DeleteHost revokes a host.
func (s *Server) DeleteHost(host string) {
	s.t.Helper()
	s.call(200, "DELETE", "/api/hosts/"+host, nil, nil)
}

// CreateAgent creates an agent of these fields and returns its id.
func (s *Server) CreateAgent(company string, fields map[string]any) string {
	s.t.Helper()
	var c created
	s.call(201, "POST", "/api/companies/"+company+"/agents", fields, &c)
	return c.ID
}

// PatchAgent changes an agent.
func (s *Server) PatchAgent(agent string, fields map[string]any) {
	s.t.Helper()
	s.call(200, "PATCH", "/api/agents/"+agent, fields, nil)
}

// Event is an access event. Pointers are nil where the API says null.
type Event struct {
	SecretID     *string `json:"secretId"`
	Version      *uint32 `json:"version"`
	ConsumerType string  `json:"consumerType"`
	ConsumerID   string  `json:"consumerId"`
	ConfigPath   *string `json:"configPath"`
	HostID       string  `json:"hostId"`
	Outcome      string  `json:"outcome"`
	ErrorCode    *string `json:"errorCode"`
	CreatedAt    string  `json:"createdAt"`
}

// SecretEvents lists the access events of a secret, newest first.
func (s *Server) SecretEvents(secret string) []Event {
	s.t.Helper()
	var events []Event
	s.call(200, "GET", "/api/secrets/"+secret+"/access-events", nil, &events)
	return events
}

// HostEvents lists the access events of a host, newest first.
func (s *Server) HostEvents(host string) []Event {
	s.t.Helper()
	var events []Event
	s.call(200, "GET", "/api/hosts/"+host+"/access-events", nil, &events)
	return events
}

// HostKey makes a host key: the line to enrol, and the line of the private
// half as keygen writes it into a file.
func HostKey(t testing.TB) (public, private string) {
	t.Helper()
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return protocol.FormatKey(protocol.PublicKeyPrefix, key.PublicKey().Bytes()),
		protocol.PrivateKeyPrefix + base64.RawURLEncoding.EncodeToString(seed) + "\n"
}
