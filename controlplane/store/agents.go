package store

// Agent is the record of an agent, in Paperclip's shape.
type Agent struct {
	ID, CompanyID, Name, AdapterType string

	AdapterConfig, RuntimeConfig []byte // JSON objects
	Status                       string
	HostID                       *string // nil: assigned to no host
	CreatedAt, UpdatedAt         string
}

const agentColumns = "id, company_id, name, adapter_type, adapter_config, runtime_config, status, host_id, created_at, updated_at"

func scanAgent(s scanner) (a Agent, err error) {
	err = s.Scan(&a.ID, &a.CompanyID, &a.Name, &a.AdapterType, &a.AdapterConfig, &a.RuntimeConfig, &a.Status, &a.HostID, &a.CreatedAt, &a.UpdatedAt)
	return a, err
}

// Agent reads one agent.
func (t *Tx) Agent(id string) (Agent, error) {
	return one(t, scanAgent, "SELECT "+agentColumns+" FROM agents WHERE id = ?", id)
}

// Agents reads the agents of a company, oldest first.
func (t *Tx) Agents(companyID string) ([]Agent, error) {
	return many(t, scanAgent, "SELECT "+agentColumns+" FROM agents WHERE company_id = ? ORDER BY rowid", companyID)
}

// AddAgent writes a new agent.
func (t *Tx) AddAgent(a Agent) error {
	return t.exec("INSERT INTO agents ("+agentColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		a.ID, a.CompanyID, a.Name, a.AdapterType, string(a.AdapterConfig), string(a.RuntimeConfig), a.Status, a.HostID, a.CreatedAt, a.UpdatedAt)
}

// SetAgent writes what of an agent can change.
func (t *Tx) SetAgent(a Agent) error {
	return t.change("UPDATE agents SET name = ?, adapter_type = ?, adapter_config = ?, runtime_config = ?, status = ?, host_id = ?, updated_at = ? WHERE id = ?",
		a.Name, a.AdapterType, string(a.AdapterConfig), string(a.RuntimeConfig), a.Status, a.HostID, a.UpdatedAt, a.ID)
}
