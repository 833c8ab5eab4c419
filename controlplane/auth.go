package controlplane

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
)

// A token is KIND_ID_SECRET: whose it is, then 256 random bits. Only its
// SHA-256 is stored; with that much entropy a slow hash adds nothing.
const (
	operatorToken = "alo"
	hostToken     = "alh"
)

func newID() string { return uuid.NewString() }

// newToken makes a token for the operator or host id, and its hash.
func newToken(kind, id string) (token string, hash []byte) {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: crypto/rand aborts the process instead
	token = kind + "_" + strings.ReplaceAll(id, "-", "") + "_" + base64.RawURLEncoding.EncodeToString(secret)
	sum := sha256.Sum256([]byte(token))
	return token, sum[:]
}

// owner reads the kind and the id out of a token.
func owner(token string) (kind, id string) {
	kind, rest, _ := strings.Cut(token, "_")
	text, _, _ := strings.Cut(rest, "_")
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != 16 {
		return "", ""
	}
	return kind, uuid.UUID(raw).String()
}

// actor is who sends a request: an operator or a host.
type actor struct {
	operator *store.Operator
	host     *store.Host
}

// String is the actor's form in the log.
func (a actor) String() string {
	switch {
	case a.operator != nil:
		return "operator:" + a.operator.ID
	case a.host != nil:
		return "host:" + a.host.ID
	}
	return ""
}

// may reports whether the actor is an operator of that company.
func (a actor) may(companyID string) bool {
	return a.operator != nil && (a.operator.All || slices.Contains(a.operator.Companies, companyID))
}

// authenticate finds the actor of a bearer token. Every refusal is the same
// 401: it does not say whether the operator or host exists.
func (s *Server) authenticate(req *http.Request) (actor, error) {
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return actor{}, &apiError{status: http.StatusUnauthorized, message: "Authorization with a Bearer token is needed"}
	}
	a, hash, err := s.lookup(req.Context(), token)
	if err != nil {
		return actor{}, err
	}
	sum := sha256.Sum256([]byte(token))
	if subtle.ConstantTimeCompare(hash, sum[:]) != 1 {
		return actor{}, unknownToken()
	}
	return a, nil
}

func unknownToken() error {
	return &apiError{status: http.StatusUnauthorized, message: "Unknown or revoked token"}
}

// lookup reads the record that the token names with the hash it must have.
func (s *Server) lookup(ctx context.Context, token string) (a actor, hash []byte, err error) {
	kind, id := owner(token)
	err = s.store.View(ctx, func(tx *store.Tx) error {
		switch kind {
		case operatorToken:
			o, err := tx.Operator(id)
			a.operator, hash = &o, o.TokenHash
			return err
		case hostToken:
			h, err := tx.Host(id)
			a.host, hash = &h, h.TokenHash
			return err
		}
		return store.ErrNotFound
	})
	if errors.Is(err, store.ErrNotFound) {
		err = unknownToken()
	}
	return a, hash, err
}

// permit checks that the actor has the role that the route asks for.
func (c *call) permit(r role) error {
	switch {
	case r == operator && c.actor.operator == nil:
		return forbidden("A host's token opens only that host's resolve and changes")
	case r == bootstrap && (c.actor.operator == nil || !c.actor.operator.All):
		return forbidden("Only the bootstrap operator may do this")
	case r == host && c.actor.host == nil:
		return forbidden("Only the host itself may do this")
	case r == host && c.actor.host.ID != c.PathValue("hostId"):
		return forbidden("This token belongs to another host")
	}
	return nil
}

// company returns the company of the path if the actor may administer it. A
// scoped operator gets the same 403 for a foreign company and for none.
func (c *call) company(tx *store.Tx) (string, error) {
	id := c.PathValue("companyId")
	if !c.actor.may(id) {
		return "", forbidden("This operator has no access to that company")
	}
	_, err := tx.Company(id)
	return id, missing(err, "Company")
}
