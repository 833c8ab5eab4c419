package launcher

import (
	"context"
	"fmt"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// checkDir warns of a working directory that its agent cannot write: nobody
// changes the owner of what an operator made. It does not quote the path, which
// may be a secret in the wrong place.
func (r *Report) checkDir(ctx context.Context, w *world, a *config.Agent) {
	if r.Enforces.Unknown() || a.Sandbox.Profile == sandbox.ProfileStrict {
		return
	}
	x, _ := w.explain(ctx, a, r.Enforces)
	if x.Dir == "" { // no plan: other problems say why
		return
	}
	for _, use := range x.Path(x.Dir).Uses {
		if use.Use == "write" && !use.Allowed {
			p := a.Problem("$.adapterConfig.cwd", fmt.Sprintf("%s cannot write its working directory: %s", who(&x.Identity), use.Why),
				"chown it to that uid, or open it to a group of it; the launcher never changes its owner")
			p.Warning = true
			r.Problems = append(r.Problems, p)
		}
	}
}

func who(id *sandbox.Identity) string {
	if id.UID == nobodyYet {
		return "a new uid of uidRange"
	}
	return fmt.Sprintf("uid %d", id.UID)
}
