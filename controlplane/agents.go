package controlplane

import (
	"errors"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
	"github.com/agent-launcher/agent-launcher/protocol"
)

func agentStatuses() []string { return []string{statusActive, "paused", "terminated"} }

// agentJSON has Paperclip's shape; plain env values are masked.
type agentJSON struct {
	ID            string         `json:"id"`
	CompanyID     string         `json:"companyId"`
	Name          string         `json:"name"`
	AdapterType   string         `json:"adapterType"`
	AdapterConfig jsontext.Value `json:"adapterConfig"`
	RuntimeConfig jsontext.Value `json:"runtimeConfig"`
	Status        string         `json:"status"`
	HostID        *string        `json:"hostId"`
	CreatedAt     string         `json:"createdAt"`
	UpdatedAt     string         `json:"updatedAt"`
}

func agentAnswer(a store.Agent) (agentJSON, error) {
	config, err := masked(a.AdapterConfig)
	return agentJSON{a.ID, a.CompanyID, a.Name, a.AdapterType, config, a.RuntimeConfig, a.Status, a.HostID, a.CreatedAt, a.UpdatedAt}, err
}

// agentFields are the fields of an agent that a request may set.
type agentFields struct {
	Name          optional[string] `json:"name"`
	AdapterType   optional[string] `json:"adapterType"`
	AdapterConfig optional[object] `json:"adapterConfig"`
	RuntimeConfig optional[object] `json:"runtimeConfig"`
	HostID        optional[string] `json:"hostId"` // null unassigns
}

// check checks the fields that are given and returns the secret refs of env.
func (in *agentFields) check(p *problems) []protocol.Binding {
	if notNull(p, "name", in.Name) {
		p.name("name", in.Name.value)
	}
	adapterType := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	if notNull(p, "adapterType", in.AdapterType) && !adapterType.MatchString(in.AdapterType.value) {
		p.addShape("adapterType", "must match %s", adapterType)
	}
	notNull(p, "runtimeConfig", in.RuntimeConfig)
	if notNull(p, "adapterConfig", in.AdapterConfig) {
		return p.checkEnv(in.AdapterConfig.value["env"])
	}
	return nil
}

// checkRecords checks what the fields refer to: secrets and a host of the
// company. Another company's are as little there as none.
func (in *agentFields) checkRecords(tx *store.Tx, p *problems, company string, refs []protocol.Binding) error {
	for _, b := range refs {
		secret, err := tx.Secret(b.SecretID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err != nil || secret.CompanyID != company {
			p.addMeaning(envPath+"."+b.Name+".secretId", "secret %s not found in this company", b.SecretID)
		}
	}
	if in.HostID.set {
		host, err := tx.Host(in.HostID.value)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err != nil || host.CompanyID != company {
			p.addMeaning("hostId", "host not found in this company")
		}
	}
	return p.err()
}

// agent reads the agent of the path if the actor may administer it.
func (c *call) agent(tx *store.Tx) (store.Agent, error) {
	a, err := tx.Agent(c.PathValue("agentId"))
	if err == nil && !c.actor.may(a.CompanyID) {
		err = store.ErrNotFound
	}
	return a, missing(err, "Agent")
}

func (s *Server) listAgents(c *call) (answer, error) {
	all := []agentJSON{}
	err := s.store.View(c.Context(), func(tx *store.Tx) error {
		company, err := c.company(tx)
		if err != nil {
			return err
		}
		agents, err := tx.Agents(company)
		for _, a := range agents {
			shown, failed := agentAnswer(a)
			all, err = append(all, shown), errors.Join(err, failed)
		}
		return err
	})
	return ok(all), err
}

func (s *Server) getAgent(c *call) (answer, error) {
	var a store.Agent
	err := s.store.View(c.Context(), func(tx *store.Tx) (err error) {
		a, err = c.agent(tx)
		return err
	})
	if err != nil {
		return answer{}, err
	}
	shown, err := agentAnswer(a)
	return ok(shown), err
}

func (s *Server) createAgent(c *call) (answer, error) {
	var in agentFields
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	var p problems
	required(&p, "name", in.Name)
	required(&p, "adapterType", in.AdapterType)
	required(&p, "adapterConfig", in.AdapterConfig)
	refs := in.check(&p)
	if len(p.shape) > 0 {
		return answer{}, p.err()
	}
	now := store.Time(s.now())
	a := store.Agent{ID: newID(), Status: statusActive, AdapterConfig: []byte("{}"), RuntimeConfig: []byte("{}"), CreatedAt: now, UpdatedAt: now}
	err := s.store.Update(c.Context(), func(tx *store.Tx) (err error) {
		if a.CompanyID, err = c.company(tx); err != nil {
			return err
		}
		if err := in.checkRecords(tx, &p, a.CompanyID, refs); err != nil {
			return err
		}
		if err := in.apply(&a, true); err != nil {
			return err
		}
		return tx.AddAgent(a)
	})
	if err != nil {
		return answer{}, err
	}
	shown, err := agentAnswer(a)
	return created(shown), err
}

type agentPatch struct {
	agentFields
	Status optional[string] `json:"status"`
	// Replace makes adapterConfig the whole new one. Without it, as in
	// Paperclip, its top-level keys are merged into the stored one.
	Replace optional[bool] `json:"replaceAdapterConfig"`
}

func (s *Server) patchAgent(c *call) (answer, error) {
	var in agentPatch
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	var p problems
	refs := in.check(&p)
	if notNull(&p, "status", in.Status) {
		p.status(in.Status.value, agentStatuses())
	}
	if len(p.shape) > 0 {
		return answer{}, p.err()
	}
	var a store.Agent
	err := s.store.Update(c.Context(), func(tx *store.Tx) (err error) {
		if a, err = c.agent(tx); err != nil {
			return err
		}
		if err := in.checkRecords(tx, &p, a.CompanyID, refs); err != nil {
			return err
		}
		if err := in.apply(&a, in.Replace.value); err != nil {
			return err
		}
		if in.Status.set {
			a.Status = in.Status.value
		}
		a.UpdatedAt = store.Time(s.now())
		return tx.SetAgent(a)
	})
	if err != nil {
		return answer{}, err
	}
	shown, err := agentAnswer(a)
	return ok(shown), err
}

// apply writes the given fields into the record.
func (in *agentFields) apply(a *store.Agent, replace bool) error {
	if in.Name.set {
		a.Name = in.Name.value
	}
	if in.AdapterType.set {
		a.AdapterType = in.AdapterType.value
	}
	if in.HostID.set {
		a.HostID = &in.HostID.value
	}
	if in.HostID.null {
		a.HostID = nil
	}
	var err error
	if in.RuntimeConfig.set {
		a.RuntimeConfig, err = json.Marshal(in.RuntimeConfig.value, json.Deterministic(true))
	}
	if in.AdapterConfig.set {
		var failed error
		a.AdapterConfig, failed = mergeConfig(a.AdapterConfig, in.AdapterConfig.value, replace)
		err = errors.Join(err, failed)
	}
	return err
}

func mergeConfig(stored []byte, patch object, replace bool) ([]byte, error) {
	config := object{}
	if !replace {
		if err := json.Unmarshal(stored, &config); err != nil {
			return nil, err
		}
	}
	for key, value := range patch {
		config[key] = value
	}
	return json.Marshal(config, json.Deterministic(true))
}
