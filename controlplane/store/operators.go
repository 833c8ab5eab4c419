package store

import "errors"

// Operator is a person or program that administers companies.
type Operator struct {
	ID, Name  string
	TokenHash []byte // SHA-256 of the token
	All       bool   // the bootstrap operator: every company, and operators too
	Companies []string
	CreatedAt string
}

const operatorColumns = "id, name, token_hash, all_companies, created_at"

func scanOperator(s scanner) (o Operator, err error) {
	err = s.Scan(&o.ID, &o.Name, &o.TokenHash, &o.All, &o.CreatedAt)
	return o, err
}

// Operator reads one operator with its companies.
func (t *Tx) Operator(id string) (Operator, error) {
	o, err := one(t, scanOperator, "SELECT "+operatorColumns+" FROM operators WHERE id = ?", id)
	if err == nil {
		o.Companies, err = t.operatorCompanies(id)
	}
	return o, err
}

// Operators reads all operators, oldest first.
func (t *Tx) Operators() ([]Operator, error) {
	all, err := many(t, scanOperator, "SELECT "+operatorColumns+" FROM operators ORDER BY rowid")
	for i := range all {
		var failed error
		all[i].Companies, failed = t.operatorCompanies(all[i].ID)
		err = errors.Join(err, failed)
	}
	return all, err
}

func (t *Tx) operatorCompanies(id string) ([]string, error) {
	return many(t, scalar[string], "SELECT company_id FROM operator_companies WHERE operator_id = ? ORDER BY company_id", id)
}

// HasBootstrap reports whether there is an operator that may do everything.
func (t *Tx) HasBootstrap() (bool, error) {
	n, err := one(t, scalar[int], "SELECT count(*) FROM operators WHERE all_companies = 1")
	return n > 0, err
}

// AddOperator writes a new operator.
func (t *Tx) AddOperator(o Operator) error {
	err := t.exec("INSERT INTO operators ("+operatorColumns+") VALUES (?, ?, ?, ?, ?)", o.ID, o.Name, o.TokenHash, o.All, o.CreatedAt)
	for _, company := range o.Companies {
		err = errors.Join(err, t.exec("INSERT INTO operator_companies (operator_id, company_id) VALUES (?, ?)", o.ID, company))
	}
	return err
}

// DeleteOperator removes an operator; its token opens nothing afterwards.
func (t *Tx) DeleteOperator(id string) error {
	return t.change("DELETE FROM operators WHERE id = ?", id)
}
