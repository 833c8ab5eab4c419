package launcher

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// dirs are an agent's private directories, below STATE/agents/NAME. The keeper
// makes them; tmp is one run's.
type dirs struct{ home, tmp string }

func dirsOf(state, name, runID string) dirs {
	base := filepath.Join(state, "agents", name)
	return dirs{home: filepath.Join(base, "home"), tmp: filepath.Join(base, "tmp", sandbox.TmpName(runID))}
}

// makeBase makes the directory in which the keeper makes them.
func makeBase(state, name string) (string, error) {
	base := filepath.Join(state, "agents", name)
	if err := errors.Join(passable(filepath.Dir(base)), passable(base)); err != nil {
		return "", fmt.Errorf("cannot make the agent's directories: %w", err)
	}
	return base, nil
}

// passable makes a directory through which agents and plugins of other users
// pass, whatever the daemon's umask is.
func passable(dir string) error {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	return os.Chmod(dir, 0o711)
}

// basicEnv is what every agent starts with; the plan's variables come on top.
func basicEnv(cfg *config.Config, a *config.Agent, as *sandbox.User, d dirs, runID string) map[string]string {
	name := userName(as)
	return map[string]string{
		"PATH":    "/usr/local/bin:/usr/bin:/bin",
		"HOME":    d.home,
		"TMPDIR":  d.tmp,
		"USER":    name,
		"LOGNAME": name,
		"LANG":    "C.UTF-8",

		"PAPERCLIP_AGENT_ID":   a.ID,
		"PAPERCLIP_COMPANY_ID": a.CompanyID,
		"PAPERCLIP_RUN_ID":     runID,
		"PAPERCLIP_API_URL":    cfg.ControlPlane.URL,
	}
}

func userName(as *sandbox.User) string {
	if as != nil {
		return as.Name
	}
	if u, err := user.LookupId(strconv.Itoa(os.Geteuid())); err == nil {
		return u.Username
	}
	return strconv.Itoa(os.Geteuid()) // a uid without an account is common in containers
}
