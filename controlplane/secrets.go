package controlplane

import (
	"slices"
	"strings"

	"github.com/agent-launcher/agent-launcher/controlplane/keys"
	"github.com/agent-launcher/agent-launcher/controlplane/store"
	"github.com/agent-launcher/agent-launcher/protocol"
)

// Status of a secret. Only an active one is resolved or rotated.
const statusActive = "active"

func secretStatuses() []string { return []string{statusActive, "disabled", "archived"} }

// secretJSON is all that anyone ever sees of a secret.
type secretJSON struct {
	ID            string  `json:"id"`
	CompanyID     string  `json:"companyId"`
	Name          string  `json:"name"`
	Key           string  `json:"key"`
	Description   *string `json:"description"`
	Purpose       string  `json:"purpose"`
	Status        string  `json:"status"`
	LatestVersion uint32  `json:"latestVersion"`
	CreatedAt     string  `json:"createdAt"`
	UpdatedAt     string  `json:"updatedAt"`
}

func secretAnswer(v store.Secret) secretJSON {
	out := secretJSON{ID: v.ID, CompanyID: v.CompanyID, Name: v.Name, Key: v.Key, Purpose: v.Purpose,
		Status: v.Status, LatestVersion: v.Latest, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt}
	if v.Description != "" {
		out.Description = &v.Description
	}
	return out
}

// slug is the key of a secret: its name in lower case, anything but letters,
// digits, _ . and - replaced. It is what must be unique in a company.
func slug(name string) string {
	key := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r) {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	return strings.Trim(key, "-")
}

// secret reads the secret of the path if the actor may administer it. Another
// company's secret is as little there as none.
func (c *call) secret(tx *store.Tx) (store.Secret, error) {
	v, err := tx.Secret(c.PathValue("secretId"))
	if err == nil && !c.actor.may(v.CompanyID) {
		err = store.ErrNotFound
	}
	return v, missing(err, "Secret")
}

func (s *Server) listSecrets(c *call) (answer, error) {
	all := []secretJSON{}
	err := s.store.View(c.Context(), func(tx *store.Tx) error {
		company, err := c.company(tx)
		if err != nil {
			return err
		}
		secrets, err := tx.Secrets(company)
		for _, v := range secrets {
			all = append(all, secretAnswer(v))
		}
		return err
	})
	return ok(all), err
}

func (s *Server) getSecret(c *call) (answer, error) {
	var v store.Secret
	err := s.store.View(c.Context(), func(tx *store.Tx) (err error) {
		v, err = c.secret(tx)
		return err
	})
	return ok(secretAnswer(v)), err
}

type newSecret struct {
	Name        optional[string]    `json:"name"`
	Value       optional[plaintext] `json:"value"`
	Purpose     optional[string]    `json:"purpose"`
	Description optional[string]    `json:"description"`
}

func (in *newSecret) check() error {
	var p problems
	if required(&p, "name", in.Name) {
		p.secretName(in.Name.value)
	}
	if required(&p, "value", in.Value) {
		p.secretValue("value", in.Value.value)
	}
	if !in.Purpose.set {
		in.Purpose.value = purposeDefault
	}
	p.purpose(in.Purpose.value)
	p.description(in.Description)
	if err := p.err(); err != nil {
		return err
	}
	return fits(in.Value.value)
}

func (p *problems) secretName(name string) {
	p.name("name", name)
	if slug(name) == "" {
		p.addShape("name", "must hold a letter or a digit of ASCII")
	}
}

func (p *problems) description(d optional[string]) {
	if len(d.value) > maxDescription {
		p.addShape("description", "must have at most %d bytes", maxDescription)
	}
}

func fits(v plaintext) error {
	if n := len(v.bytes()); n > protocol.MaxValueSize {
		return tooLarge("A value of %d bytes: the limit is %d", n, protocol.MaxValueSize)
	}
	return nil
}

func (s *Server) createSecret(c *call) (answer, error) {
	var in newSecret
	err := c.decode(&in)
	defer func() { in.Value.value.wipe() }()
	if err == nil {
		err = in.check()
	}
	if err != nil {
		return answer{}, err
	}
	now := store.Time(s.now())
	v := store.Secret{ID: newID(), Name: in.Name.value, Key: slug(in.Name.value), Description: in.Description.value,
		Purpose: in.Purpose.value, Status: statusActive, Latest: 1, CreatedAt: now, UpdatedAt: now}
	err = s.store.Update(c.Context(), func(tx *store.Tx) (err error) {
		if v.CompanyID, err = c.company(tx); err != nil {
			return err
		}
		if v.DataKey, err = s.master.NewDataKey(v.CompanyID, v.ID); err != nil {
			return err
		}
		if err := tx.AddSecret(v); err != nil {
			return exists(err, "Secret", v.Name)
		}
		return s.addVersion(tx, v, in.Value.value)
	})
	return created(secretAnswer(v)), err
}

// addVersion encrypts value as the newest version of v.
func (s *Server) addVersion(tx *store.Tx, v store.Secret, value plaintext) error {
	b := value.bytes()
	ciphertext, err := s.master.Encrypt(keys.ID{Company: v.CompanyID, Secret: v.ID, Version: v.Latest}, v.DataKey, b)
	if err != nil {
		return err
	}
	return tx.AddVersion(v.ID, store.Version{Number: v.Latest, Size: len(b), Ciphertext: ciphertext}, v.UpdatedAt)
}

func (s *Server) deleteSecret(c *call) (answer, error) {
	err := s.store.Update(c.Context(), func(tx *store.Tx) error {
		v, err := c.secret(tx)
		if err != nil {
			return err
		}
		return tx.DeleteSecret(v.ID, store.Time(s.now()))
	})
	if err == nil {
		err = s.store.Purge(c.Context())
	}
	return ok(map[string]bool{"ok": true}), err
}

func (p *problems) status(s string, allowed []string) {
	if !slices.Contains(allowed, s) {
		p.addShape("status", "must be one of %s", strings.Join(allowed, ", "))
	}
}
