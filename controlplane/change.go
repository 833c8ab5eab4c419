package controlplane

import (
	"errors"
	"math"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
)

// secretPatch is what of a secret can change. A value makes a new version.
type secretPatch struct {
	Value       optional[plaintext] `json:"value"`
	Name        optional[string]    `json:"name"`
	Description optional[string]    `json:"description"` // null removes it
	Status      optional[string]    `json:"status"`
}

func (in *secretPatch) check() error {
	var p problems
	if !in.Value.set && !in.Name.set && !in.Description.set && !in.Description.null && !in.Status.set {
		p.addShape("", "names nothing to change")
	}
	if notNull(&p, "value", in.Value) {
		p.secretValue("value", in.Value.value)
	}
	if notNull(&p, "name", in.Name) {
		p.secretName(in.Name.value)
	}
	if notNull(&p, "status", in.Status) {
		p.status(in.Status.value, secretStatuses())
	}
	p.description(in.Description)
	if err := p.err(); err != nil || !in.Value.set {
		return err
	}
	return fits(in.Value.value)
}

func (s *Server) patchSecret(c *call) (answer, error) {
	var in secretPatch
	err := c.decode(&in)
	defer func() { in.Value.value.wipe() }()
	if err == nil {
		err = in.check()
	}
	if err != nil {
		return answer{}, err
	}
	return s.changeSecret(c, in)
}

func (s *Server) rotateSecret(c *call) (answer, error) {
	var in struct {
		Value optional[plaintext] `json:"value"`
	}
	err := c.decode(&in)
	defer func() { in.Value.value.wipe() }()
	if err != nil {
		return answer{}, err
	}
	var p problems
	if required(&p, "value", in.Value) {
		p.secretValue("value", in.Value.value)
	}
	if err := p.err(); err != nil {
		return answer{}, err
	}
	if err := fits(in.Value.value); err != nil {
		return answer{}, err
	}
	return s.changeSecret(c, secretPatch{Value: in.Value})
}

// changeSecret applies a checked patch: all of it or nothing.
func (s *Server) changeSecret(c *call, in secretPatch) (answer, error) {
	var v store.Secret
	err := s.store.Update(c.Context(), func(tx *store.Tx) (err error) {
		if v, err = c.secret(tx); err != nil {
			return err
		}
		if err := in.apply(&v); err != nil {
			return err
		}
		v.UpdatedAt = store.Time(s.now())
		if err := tx.SetSecret(v); err != nil {
			return exists(err, "Secret", v.Name)
		}
		if !in.Value.set {
			return nil
		}
		return s.addVersion(tx, v, in.Value.value)
	})
	return ok(secretAnswer(v)), err
}

// apply changes the record. The status comes first, so that one PATCH can
// enable a secret and give it a new value.
func (in *secretPatch) apply(v *store.Secret) error {
	if in.Status.set {
		v.Status = in.Status.value
	}
	if in.Name.set {
		v.Name, v.Key = in.Name.value, slug(in.Name.value)
	}
	if in.Description.set || in.Description.null {
		v.Description = in.Description.value
	}
	if !in.Value.set {
		return nil
	}
	if v.Status != statusActive {
		return unprocessable("Cannot rotate a non-active secret")
	}
	if v.Latest == math.MaxUint32 {
		return errors.New("secret has no version numbers left")
	}
	v.Latest++
	return nil
}
