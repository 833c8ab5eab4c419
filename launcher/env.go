package launcher

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// dirs are an agent's private directories, below STATE/agents/NAME.
type dirs struct{ home, tmp string }

// prepareDirs makes the private HOME and an empty TMPDIR, both 0700 and owned
// by the agent's user. They lie in a directory that the agent cannot write,
// so it cannot replace them by links; RemoveAll does not follow those inside.
func prepareDirs(state, name string, as *sandbox.User) (dirs, error) {
	base := filepath.Join(state, "agents", name)
	d := dirs{home: filepath.Join(base, "home"), tmp: filepath.Join(base, "tmp")}
	if err := os.MkdirAll(base, 0o711); err != nil {
		return d, fmt.Errorf("cannot make the agent's directories: %w", err)
	}
	if err := os.RemoveAll(d.tmp); err != nil {
		return d, fmt.Errorf("cannot empty the agent's TMPDIR: %w", err)
	}
	// Whatever the daemon's umask is, agents of other users pass through here.
	for _, dir := range []string{filepath.Dir(base), base} {
		if err := os.Chmod(dir, 0o711); err != nil {
			return d, fmt.Errorf("cannot open the way to the agent's directories: %w", err)
		}
	}
	for _, dir := range []string{d.home, d.tmp} {
		if err := os.Mkdir(dir, 0o700); err != nil && !os.IsExist(err) {
			return d, fmt.Errorf("cannot make the agent's directories: %w", err)
		}
		if as == nil {
			continue
		}
		if err := os.Lchown(dir, int(as.UID), int(as.GID)); err != nil {
			return d, fmt.Errorf("cannot give the agent its directories: %w", err)
		}
	}
	return d, nil
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

// account is the user of an agent, nil for the launcher's own.
func account(name string) (*sandbox.User, error) {
	if name == "" {
		return nil, nil
	}
	return sandbox.LookupUser(name)
}
