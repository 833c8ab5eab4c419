package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// hostilePlugin is this program as an adapter: it tries the attack that an
// agent's configuration names, and says in a problem how that went.
type hostilePlugin struct{}

// isPlugin reports whether the daemon started us, and not we ourselves.
func isPlugin() bool { return len(os.Args) == 1 && os.Getenv(adapter.Handshake().MagicCookieKey) != "" }

func (hostilePlugin) Describe(context.Context) (adapter.Description, error) {
	return adapter.Description{Type: filepath.Base(os.Args[0]), Version: "1", Schema: json.RawMessage(`{"type":"object"}`)}, nil
}

func (hostilePlugin) Plan(_ context.Context, r adapter.PlanRequest) (adapter.Plan, error) {
	var c struct{ Attack, Target string }
	if err := json.Unmarshal(r.Config, &c); err != nil {
		return adapter.Plan{}, err
	}
	return adapter.Plan{}, &adapter.Problem{Message: "says: " + try(c.Attack, c.Target)}
}
