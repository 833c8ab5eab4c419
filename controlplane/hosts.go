package controlplane

import (
	"crypto/hpke"
	"encoding/hex"

	"github.com/agent-launcher/agent-launcher/controlplane/store"
	"github.com/agent-launcher/agent-launcher/protocol"
)

type hostJSON struct {
	ID         string  `json:"id"`
	CompanyID  string  `json:"companyId"`
	Name       string  `json:"name"`
	PublicKey  string  `json:"publicKey"`
	KeyID      string  `json:"keyId"`      // hex
	SigningKey string  `json:"signingKey"` // the control plane's, for the host to pin
	LastSeenAt *string `json:"lastSeenAt"` // last resolve
	CreatedAt  string  `json:"createdAt"`
	Token      string  `json:"token,omitzero"` // once, when it is created
}

func (s *Server) hostAnswer(h store.Host, token string) hostJSON {
	return hostJSON{
		ID: h.ID, CompanyID: h.CompanyID, Name: h.Name, LastSeenAt: h.LastSeenAt, CreatedAt: h.CreatedAt, Token: token,
		PublicKey:  protocol.FormatKey(protocol.PublicKeyPrefix, h.PublicKey),
		KeyID:      hex.EncodeToString(protocol.KeyID(h.PublicKey)),
		SigningKey: protocol.FormatKey(protocol.SigningKeyPrefix, s.SigningKey()),
	}
}

// hostOf reads the host of the path if the actor may administer it.
func (c *call) hostOf(tx *store.Tx) (store.Host, error) {
	h, err := tx.Host(c.PathValue("hostId"))
	if err == nil && !c.actor.may(h.CompanyID) {
		err = store.ErrNotFound
	}
	return h, missing(err, "Host")
}

func (s *Server) listHosts(c *call) (answer, error) {
	all := []hostJSON{}
	err := s.store.View(c.Context(), func(tx *store.Tx) error {
		company, err := c.company(tx)
		if err != nil {
			return err
		}
		hosts, err := tx.Hosts(company)
		for _, h := range hosts {
			all = append(all, s.hostAnswer(h, ""))
		}
		return err
	})
	return ok(all), err
}

func (s *Server) getHost(c *call) (answer, error) {
	var h store.Host
	err := s.store.View(c.Context(), func(tx *store.Tx) (err error) {
		h, err = c.hostOf(tx)
		return err
	})
	return ok(s.hostAnswer(h, "")), err
}

func (s *Server) createHost(c *call) (answer, error) {
	var in struct {
		Name      optional[string] `json:"name"`
		PublicKey optional[string] `json:"publicKey"`
	}
	if err := c.decode(&in); err != nil {
		return answer{}, err
	}
	var p problems
	h := store.Host{ID: newID(), Name: in.Name.value, CreatedAt: store.Time(s.now())}
	if required(&p, "name", in.Name) {
		p.name("name", in.Name.value)
	}
	if required(&p, "publicKey", in.PublicKey) {
		h.PublicKey = p.hostKey(in.PublicKey.value)
	}
	if err := p.err(); err != nil {
		return answer{}, err
	}
	token, hash := newToken(hostToken, h.ID)
	h.TokenHash = hash
	err := s.store.Update(c.Context(), func(tx *store.Tx) (err error) {
		if h.CompanyID, err = c.company(tx); err != nil {
			return err
		}
		return exists(tx.AddHost(h), "Host", h.Name)
	})
	return created(s.hostAnswer(h, token)), err
}

// hostKey parses the line that keygen prints.
func (p *problems) hostKey(line string) []byte {
	key, err := protocol.ParseKey(protocol.PublicKeyPrefix, line, protocol.PublicKeySize)
	if err == nil {
		_, err = hpke.MLKEM768X25519().NewPublicKey(key)
	}
	if err != nil {
		p.addShape("publicKey", "%v", err) // ParseKey never quotes its input
	}
	return key
}

func (s *Server) deleteHost(c *call) (answer, error) {
	err := s.store.Update(c.Context(), func(tx *store.Tx) error {
		h, err := c.hostOf(tx)
		if err != nil {
			return err
		}
		return tx.DeleteHost(h.ID, store.Time(s.now()))
	})
	return ok(map[string]bool{"ok": true}), err
}
