package launcher

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// checkUsers warns of what keeps agents from being apart: a range that belongs
// to others too, one that cannot be used, a uid that several share.
func (r *Report) checkUsers(cfg *config.Config) {
	shared := 0
	for _, a := range r.Agents {
		if a.User == "" {
			shared++
		}
	}
	warn := func(message, hint string) {
		p := cfg.Problem("$.uidRange", message, hint)
		p.Warning = true
		r.Problems = append(r.Problems, p)
	}
	if cfg.UIDRange == nil {
		if shared > 1 {
			warn(fmt.Sprintf("%d agents share the launcher's uid: only Landlock separates them", shared), "set uidRange, or user in each of their files")
		}
		return
	}
	if h := r.Enforces; !h.Unknown() && !h.Switch {
		warn(fmt.Sprintf("the keeper runs as uid %d and may not switch users: %d agents share it, and only Landlock separates them", h.UID, shared),
			"run the daemon or a keeper with that privilege")
	}
	if other := otherRange(cfg, r.Enforces); other != "" {
		warn(other, "set both alike")
	}
	if free, types := cfg.UIDRange.Agents(), r.types(); shared+types > free {
		warn(fmt.Sprintf("%d agents and %d plugins, but only %d uids for them", shared, types, free), "widen it")
	}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		if names := inRange(file, cfg.UIDRange); len(names) > 0 {
			warn(fmt.Sprintf("holds ids that %s gives to others: %s", file, strings.Join(names, ", ")), "choose a free range: no agent gets these ids, but the masker may")
		}
	}
	if _, err := openUIDs(cfg); err != nil {
		r.Host = append(r.Host, err)
	}
}

// types is how many plugins the agents use.
func (r *Report) types() int {
	types := map[string]bool{}
	for _, a := range r.Agents {
		types[a.AdapterType] = true
	}
	return len(types)
}

// otherRange says that the keeper refuses uids which the daemon would give.
func otherRange(cfg *config.Config, h sandbox.Host) string {
	if cfg.UIDRange == nil || h.Last == 0 || cfg.UIDRange.First == h.First && cfg.UIDRange.Last == h.Last {
		return ""
	}
	return fmt.Sprintf("the configuration's uidRange is %s, the keeper's --uid-range %d-%d: it refuses other uids than its own", cfg.UIDRange, h.First, h.Last)
}

// maxNamed is how many accounts a warning names.
const maxNamed = 5

// inRange are the names in passwd(5) or group(5) with an id in the range, the
// masker's included.
func inRange(file string, uids *config.UIDRange) []string {
	f, err := os.Open(file)
	if err != nil { // a host without accounts
		return nil
	}
	defer f.Close()
	var names []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 3 {
			continue
		}
		id, err := strconv.ParseUint(fields[2], 10, 32)
		if err != nil || uint32(id) < uids.First || uint32(id) > uids.Last {
			continue
		}
		if len(names) == maxNamed {
			return append(names, "...")
		}
		names = append(names, fields[0])
	}
	return names
}

// Users says who agents run as.
func (r *Report) Users() string {
	uids, h := r.Config.UIDRange, r.Enforces
	switch {
	case !h.Unknown() && !h.Switch:
		return fmt.Sprintf("uid %d, which may not switch users", h.UID)
	case uids != nil:
		return fmt.Sprintf("their user, or each its own uid from %d to %d", uids.First, uids.Last-1)
	case h.Unknown():
		return "their user, or the keeper's"
	}
	return fmt.Sprintf("their user, or uid %d without capabilities", h.UID)
}
