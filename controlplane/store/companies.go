package store

// Company owns secrets, hosts and agents.
type Company struct {
	ID, Name, CreatedAt, UpdatedAt string
}

const companyColumns = "id, name, created_at, updated_at"

func scanCompany(s scanner) (c Company, err error) {
	err = s.Scan(&c.ID, &c.Name, &c.CreatedAt, &c.UpdatedAt)
	return c, err
}

// Company reads one company.
func (t *Tx) Company(id string) (Company, error) {
	return one(t, scanCompany, "SELECT "+companyColumns+" FROM companies WHERE id = ?", id)
}

// Companies reads all companies, oldest first.
func (t *Tx) Companies() ([]Company, error) {
	return many(t, scanCompany, "SELECT "+companyColumns+" FROM companies ORDER BY rowid")
}

// AddCompany writes a new company.
func (t *Tx) AddCompany(c Company) error {
	return t.exec("INSERT INTO companies ("+companyColumns+") VALUES (?, ?, ?, ?)", c.ID, c.Name, c.CreatedAt, c.UpdatedAt)
}
