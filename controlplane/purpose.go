package controlplane

import (
	"slices"
	"strings"
)

// What a secret is for. The purpose is set once, when the secret is created.
const (
	purposeDefault = "runtime_api_key"
	// purposeServer is for secrets of servers themselves (board auth and the
	// like). They are kept here, and never sealed to a host.
	purposeServer = "server"
)

func purposes() []string {
	return []string{"infrastructure", "database", "storage", purposeDefault, purposeServer}
}

// grants are credentials that a user lent through a connection. Composio holds
// and refreshes them; a copy here would go stale and outlive its revocation.
func grants() []string {
	return []string{"oauth_grant", "refresh_token", "connected_account"}
}

func (p *problems) purpose(s string) {
	switch {
	case slices.Contains(purposes(), s):
	case slices.Contains(grants(), s):
		p.addMeaning("purpose", "%s is not stored here: OAuth grants, refresh tokens and connected accounts belong to Composio", s)
	default:
		p.addMeaning("purpose", "%q is not one of %s", cut(s, 64), strings.Join(purposes(), ", "))
	}
}
