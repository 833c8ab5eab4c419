package controlplane

import (
	"net/http"
	"slices"
	"strings"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Limits of request bodies in bytes. A value of protocol.MaxValueSize has up to
// six times that in JSON, where one byte may be written as \u0000.
const (
	jsonLimit  = 1 << 20
	valueLimit = 6*protocol.MaxValueSize + 64<<10
)

// who a route is for.
type role int

const (
	anyone    role = iota // no token needed
	operator              // any operator; the handler checks the company
	bootstrap             // the bootstrap operator alone
	host                  // the host that the path names
)

type route struct {
	method, pattern string
	role            role
	serve           func(*call) (answer, error)
	limit           int64 // of the body, bytes; 0 where the route takes none
	media           string
}

func (s *Server) table() []route {
	const json = "application/json"
	return []route{
		{"GET", "/api/health", anyone, s.health, 0, ""},

		{"GET", "/api/operators", bootstrap, s.listOperators, 0, ""},
		{"POST", "/api/operators", bootstrap, s.createOperator, jsonLimit, json},
		{"DELETE", "/api/operators/{operatorId}", bootstrap, s.deleteOperator, 0, ""},

		{"GET", "/api/companies", operator, s.listCompanies, 0, ""},
		{"POST", "/api/companies", bootstrap, s.createCompany, jsonLimit, json},

		{"GET", "/api/companies/{companyId}/secrets", operator, s.listSecrets, 0, ""},
		{"POST", "/api/companies/{companyId}/secrets", operator, s.createSecret, valueLimit, json},
		{"GET", "/api/secrets/{secretId}", operator, s.getSecret, 0, ""},
		{"PATCH", "/api/secrets/{secretId}", operator, s.patchSecret, valueLimit, json},
		{"POST", "/api/secrets/{secretId}/rotate", operator, s.rotateSecret, valueLimit, json},
		{"DELETE", "/api/secrets/{secretId}", operator, s.deleteSecret, 0, ""},
		{"GET", "/api/secrets/{secretId}/access-events", operator, s.secretEvents, 0, ""},

		{"GET", "/api/companies/{companyId}/hosts", operator, s.listHosts, 0, ""},
		{"POST", "/api/companies/{companyId}/hosts", operator, s.createHost, jsonLimit, json},
		{"GET", "/api/hosts/{hostId}", operator, s.getHost, 0, ""},
		{"DELETE", "/api/hosts/{hostId}", operator, s.deleteHost, 0, ""},
		{"GET", "/api/hosts/{hostId}/access-events", operator, s.hostEvents, 0, ""},

		{"GET", "/api/companies/{companyId}/agents", operator, s.listAgents, 0, ""},
		{"POST", "/api/companies/{companyId}/agents", operator, s.createAgent, jsonLimit, json},
		{"GET", "/api/agents/{agentId}", operator, s.getAgent, 0, ""},
		{"PATCH", "/api/agents/{agentId}", operator, s.patchAgent, jsonLimit, json},

		{"GET", "/api/hosts/{hostId}/changes", host, s.hostChanges, 0, ""},
		{"POST", "/api/hosts/{hostId}/resolve", host, s.resolve, protocol.MaxRequestSize, protocol.ContentType},
	}
}

// routes builds the mux. Methods are told apart here and not by the mux, so
// that its 404 and 405 are JSON like every other error.
func (s *Server) routes() http.Handler {
	paths := map[string]map[string]route{}
	for _, r := range s.table() {
		if paths[r.pattern] == nil {
			paths[r.pattern] = map[string]route{}
		}
		paths[r.pattern][r.method] = r
	}
	mux := http.NewServeMux()
	for pattern, methods := range paths {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
			r, ok := methods[strings.Replace(req.Method, "HEAD", "GET", 1)]
			if !ok {
				w.Header().Set("Allow", allowed(methods))
				s.fail(w, req, &apiError{status: http.StatusMethodNotAllowed, message: "Method not allowed"})
				return
			}
			s.run(w, req, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		s.fail(w, req, notFound("No such path"))
	})
	return mux
}

func allowed(methods map[string]route) string {
	names := make([]string, 0, len(methods))
	for m := range methods {
		names = append(names, m)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// run is one request: who is it, may it, what does it say, answer.
func (s *Server) run(w http.ResponseWriter, req *http.Request, r route) {
	c := &call{Request: req, limit: r.limit}
	defer c.wipe()
	if r.role != anyone {
		var err error
		if c.actor, err = s.authenticate(req); err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			s.fail(w, req, err)
			return
		}
		noteActor(req, c.actor)
	}
	if err := c.permit(r.role); err != nil {
		s.fail(w, req, err)
		return
	}
	if r.limit > 0 {
		if err := c.readBody(w, r.media); err != nil {
			s.fail(w, req, err)
			return
		}
	}
	a, err := r.serve(c)
	if err != nil {
		s.fail(w, req, err)
		return
	}
	if r.method != http.MethodGet && r.role != host {
		s.changes.note()
	}
	a.write(w)
}

func (s *Server) health(*call) (answer, error) {
	return ok(map[string]string{"status": "ok"}), nil
}
