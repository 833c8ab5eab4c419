package controlplane

import (
	"errors"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
)

type companyJSON struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	CreatedAt string `json:"createdAt"`
	UpdatedAt string `json:"updatedAt"`
}

func (s *Server) listCompanies(c *call) (answer, error) {
	all := []companyJSON{}
	err := s.store.View(c.Context(), func(tx *store.Tx) error {
		companies, err := tx.Companies()
		for _, v := range companies {
			if c.actor.may(v.ID) {
				all = append(all, companyJSON(v))
			}
		}
		return err
	})
	return ok(all), err
}

func (s *Server) createCompany(c *call) (answer, error) {
	var in struct {
		Name optional[string] `json:"name"`
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	var p problems
	if required(&p, "name", in.Name) {
		p.name("name", in.Name.value)
	}
	if err := p.err(); err != nil {
		return answer{}, err
	}
	now := store.Time(s.now())
	v := store.Company{ID: newID(), Name: in.Name.value, CreatedAt: now, UpdatedAt: now}
	err := s.store.Update(c.Context(), func(tx *store.Tx) error { return tx.AddCompany(v) })
	return created(companyJSON(v)), err
}

type operatorJSON struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	CompanyIDs   []string `json:"companyIds"`
	AllCompanies bool     `json:"allCompanies"` // the bootstrap operator
	CreatedAt    string   `json:"createdAt"`
	Token        string   `json:"token,omitzero"` // once, when it is created
}

func operatorAnswer(o store.Operator, token string) operatorJSON {
	return operatorJSON{o.ID, o.Name, o.Companies, o.All, o.CreatedAt, token}
}

func (s *Server) listOperators(c *call) (answer, error) {
	all := []operatorJSON{}
	err := s.store.View(c.Context(), func(tx *store.Tx) error {
		operators, err := tx.Operators()
		for _, o := range operators {
			all = append(all, operatorAnswer(o, ""))
		}
		return err
	})
	return ok(all), err
}

func (s *Server) createOperator(c *call) (answer, error) {
	var in struct {
		Name       optional[string]   `json:"name"`
		CompanyIDs optional[[]string] `json:"companyIds"`
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	var p problems
	if required(&p, "name", in.Name) {
		p.name("name", in.Name.value)
	}
	if required(&p, "companyIds", in.CompanyIDs) && len(in.CompanyIDs.value) == 0 {
		p.addShape("companyIds", "must name at least one company")
	}
	if err := p.err(); err != nil {
		return answer{}, err
	}
	o := store.Operator{ID: newID(), Name: in.Name.value, Companies: in.CompanyIDs.value, CreatedAt: store.Time(s.now())}
	token, hash := newToken(operatorToken, o.ID)
	o.TokenHash = hash
	err := s.store.Update(c.Context(), func(tx *store.Tx) error {
		if err := p.companies(tx, o.Companies); err != nil {
			return err
		}
		return tx.AddOperator(o)
	})
	return created(operatorAnswer(o, token)), err
}

// companies checks that each of ids is a company and none comes twice.
func (p *problems) companies(tx *store.Tx, ids []string) error {
	seen := map[string]bool{}
	for _, id := range ids {
		_, err := tx.Company(id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			p.addMeaning("companyIds", "no such company: %q", cut(id, 64))
		case err != nil:
			return err
		case seen[id]:
			p.addMeaning("companyIds", "%s is named twice", id)
		}
		seen[id] = true
	}
	return p.err()
}

func (s *Server) deleteOperator(c *call) (answer, error) {
	id := c.PathValue("operatorId")
	if id == c.actor.operator.ID {
		return answer{}, conflict("The bootstrap operator cannot delete itself")
	}
	err := s.store.Update(c.Context(), func(tx *store.Tx) error { return missing(tx.DeleteOperator(id), "Operator") })
	return ok(map[string]bool{"ok": true}), err
}
