package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
)

// Detail says what is wrong with one field of a request.
type Detail struct {
	Path    string `json:"path"` // with dots, such as adapterConfig.env.TOKEN
	Message string `json:"message"`
}

// apiError is an error whose message is for the client. The cause is for the
// log.
type apiError struct {
	status  int
	message string
	details []Detail
	cause   error
}

func (e *apiError) Error() string { return e.message }

func notFound(format string, args ...any) error {
	return &apiError{status: http.StatusNotFound, message: fmt.Sprintf(format, args...)}
}

func forbidden(message string) error {
	return &apiError{status: http.StatusForbidden, message: message}
}

func conflict(format string, args ...any) error {
	return &apiError{status: http.StatusConflict, message: fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &apiError{status: http.StatusRequestEntityTooLarge, message: fmt.Sprintf(format, args...)}
}

func unprocessable(message string, details ...Detail) error {
	return &apiError{status: http.StatusUnprocessableEntity, message: message, details: details}
}

// fail answers with err. What is not an apiError is a failure of the server:
// its text goes to the log alone.
func (s *Server) fail(w http.ResponseWriter, req *http.Request, err error) {
	var e *apiError
	if !errors.As(err, &e) {
		e = &apiError{status: http.StatusInternalServerError, message: "Internal server error", cause: err}
	}
	if e.cause != nil && !errors.Is(e.cause, context.Canceled) {
		s.log.Error("cannot answer", zap.String("route", req.Pattern), zap.Error(e.cause))
	}
	body := struct {
		Error   string   `json:"error"`
		Details []Detail `json:"details,omitempty"`
	}{e.message, e.details}
	answer{status: e.status, json: body}.write(w)
}

// missing turns the store's ErrNotFound into a 404 that names what.
func missing(err error, what string) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound("%s not found", what)
	}
	return err
}

// exists turns the store's ErrExists into a 409 that names what.
func exists(err error, what, name string) error {
	if errors.Is(err, store.ErrExists) {
		return conflict("%s already exists: %s", what, name)
	}
	return err
}
