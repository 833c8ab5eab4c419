package controlplane

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// optional is a field that may be left out or null.
type optional[T any] struct {
	set, null bool // at most one of them
	value     T
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (o *optional[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == jsontext.KindNull {
		o.null = true
		_, err := d.ReadToken()
		return err
	}
	o.set = true
	return json.UnmarshalDecode(d, &o.value)
}

// plaintext is a secret value out of a request. It cannot be printed; wipe
// clears it.
type plaintext struct {
	bytes func() []byte
}

// UnmarshalJSONFrom implements json.UnmarshalerFrom without making a string,
// which could not be wiped.
func (p *plaintext) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	raw, err := d.ReadValue()
	if err != nil {
		return err
	}
	if raw.Kind() != jsontext.KindString {
		return errNotString
	}
	b, err := jsontext.AppendUnquote(make([]byte, 0, len(raw)), raw)
	p.bytes = func() []byte { return b }
	return err
}

// MarshalJSON refuses: a value is never in a response.
func (plaintext) MarshalJSON() ([]byte, error) {
	return nil, errors.New("cannot encode a secret value")
}

func (p plaintext) wipe() {
	if p.bytes != nil {
		clear(p.bytes())
	}
}

var errNotString = errors.New("must be a string")

// decode reads the JSON object of the body into v. Unknown fields, fields given
// twice, wrong types, trailing data and invalid UTF-8 are errors that name the
// field and never quote what was in it.
func (c *call) decode(v any) error {
	err := json.Unmarshal(c.body, v, json.RejectUnknownMembers(true))
	if err == nil {
		return nil
	}
	return invalid([]Detail{explain(err)})
}

func invalid(details []Detail) error {
	return &apiError{status: http.StatusBadRequest, message: "Validation error", details: details}
}

func explain(err error) Detail {
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return Detail{dotted(syntax.JSONPointer), "given twice"}
		}
		return Detail{dotted(syntax.JSONPointer), fmt.Sprintf("not valid JSON at byte %d", syntax.ByteOffset)}
	}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return Detail{"", "not valid JSON"}
	}
	path := dotted(semantic.JSONPointer)
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return Detail{path, "unknown field"}
	case errors.Is(err, errNotString):
		return Detail{path, errNotString.Error()}
	}
	return Detail{path, "must be " + kindName(semantic.GoType)}
}

// kindName is the JSON name of a Go type, with its article.
func kindName(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a number"
}

// dotted writes a JSON pointer as Paperclip writes paths. It is cut, as names
// come from the request.
func dotted(p jsontext.Pointer) string {
	var parts []string
	for token := range p.Tokens() {
		parts = append(parts, token)
	}
	return cut(strings.Join(parts, "."), 200)
}

// cut shortens text from a request for a message.
func cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max] + "..."
}
