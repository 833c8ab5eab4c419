package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"go.uber.org/zap"
)

// observation collects what the log line of a request says.
type observation struct {
	http.ResponseWriter
	status int
	actor  string
}

func (o *observation) WriteHeader(status int) {
	o.status = status
	o.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.MaxBytesReader and http.ResponseController find the
// connection.
func (o *observation) Unwrap() http.ResponseWriter { return o.ResponseWriter }

type observationKey struct{}

// observe writes one line per request: the route's pattern, never the path,
// the query or a body, which may hold anything.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		start := time.Now()
		o := &observation{ResponseWriter: w}
		req = req.WithContext(context.WithValue(req.Context(), observationKey{}, o))
		defer func() {
			s.recovered(o, req, recover())
			s.log.Info("request", zap.String("method", method(req)), zap.String("route", req.Pattern),
				zap.Int("status", o.status), zap.String("actor", o.actor), zap.Duration("duration", time.Since(start)))
		}()
		next.ServeHTTP(o, req)
	})
}

// recovered answers for a handler that panicked. The panic's text may quote
// memory, so the log has its type and the stack.
func (s *Server) recovered(o *observation, req *http.Request, p any) {
	if p == nil {
		return
	}
	s.log.Error("panic", zap.String("route", req.Pattern), zap.String("type", fmt.Sprintf("%T", p)), zap.ByteString("stack", debug.Stack()))
	if o.status == 0 {
		s.fail(o, req, &apiError{status: http.StatusInternalServerError, message: "Internal server error"})
	}
}

// method is the request's method, or a fixed word for one that is made up.
func method(req *http.Request) string {
	switch req.Method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS":
		return req.Method
	}
	return "other"
}

func noteActor(req *http.Request, a actor) {
	if o, ok := req.Context().Value(observationKey{}).(*observation); ok {
		o.actor = a.String()
	}
}
