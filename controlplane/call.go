package controlplane

import (
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/go-json-experiment/json"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// call is one request on its way through a handler.
type call struct {
	*http.Request
	actor actor
	body  []byte // may hold a value: wiped when the request ends
	limit int64
}

// readBody reads the body into memory that wipe clears.
func (c *call) readBody(w http.ResponseWriter, media string) error {
	got, _, err := mime.ParseMediaType(c.Header.Get("Content-Type"))
	if err != nil || got != media || c.Header.Get("Content-Encoding") != "" {
		return &apiError{status: http.StatusUnsupportedMediaType, message: "Content-Type must be " + media + ", without Content-Encoding"}
	}
	size := int64(4096)
	if c.ContentLength > 0 && c.ContentLength <= c.limit {
		size = c.ContentLength + 1 // one more, to see the end without growing
	}
	c.body = make([]byte, 0, size)
	r := http.MaxBytesReader(w, c.Body, c.limit)
	for {
		n, err := r.Read(c.body[len(c.body):cap(c.body)])
		c.body = c.body[:len(c.body)+n]
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return bodyError(err)
		}
		if len(c.body) == cap(c.body) {
			c.grow()
		}
	}
}

// grow doubles the buffer and wipes the old one.
func (c *call) grow() {
	bigger := make([]byte, len(c.body), 2*cap(c.body))
	copy(bigger, c.body)
	clear(c.body)
	c.body = bigger
}

func (c *call) wipe() { clear(c.body[:cap(c.body)]) }

func bodyError(err error) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge("Request body of more than %d bytes", large.Limit)
	}
	return &apiError{status: http.StatusBadRequest, message: "Request body cannot be read"}
}

// answer is what a handler returns.
type answer struct {
	status int
	json   any
	cbor   []byte // in place of json
}

func ok(v any) answer      { return answer{status: http.StatusOK, json: v} }
func created(v any) answer { return answer{status: http.StatusCreated, json: v} }

func (a answer) write(w http.ResponseWriter) {
	data, media := a.cbor, protocol.ContentType
	if a.cbor == nil {
		media = "application/json"
		var err error
		if data, err = json.Marshal(a.json); err != nil {
			a.status, data = http.StatusInternalServerError, []byte(`{"error":"Internal server error"}`)
		}
		data = append(data, '\n')
	}
	w.Header().Set("Content-Type", media)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(a.status)
	_, _ = w.Write(data) // the client may be gone
}
