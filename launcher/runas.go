package launcher

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/agent-launcher/agent-launcher/launcher/config"
	"github.com/agent-launcher/agent-launcher/launcher/uids"
	"github.com/agent-launcher/agent-launcher/sandbox"
)

// runAs is who an agent runs as: its user; else its own uid out of uidRange;
// else, or where the keeper may not switch, the keeper's own, which is nil.
func runAs(cfg *config.Config, a *config.Agent, host sandbox.Host) (*sandbox.User, error) {
	if a.User != "" {
		return account(a.User, host)
	}
	if cfg.UIDRange == nil || !host.Switch {
		return nil, nil
	}
	table, err := openUIDs(cfg)
	if err != nil {
		return nil, err
	}
	uid, err := table.For(a.ID)
	if err != nil {
		return nil, outside(err, "its HOME "+dirsOf(cfg.StateDir, a.Name, "").home)
	}
	return ownUser(uid), nil
}

// pluginUser is who a plugin runs as: its own uid out of uidRange, else the
// keeper's, which is nil. A keeper of another user starts nobody as what it is
// itself. No agent's id has a colon.
func pluginUser(cfg *config.Config, name string, host sandbox.Host) (*sandbox.User, error) {
	switch {
	case !host.Switch:
		return nil, nil
	case cfg.UIDRange == nil && host.UID != uint32(os.Geteuid()):
		return nil, errors.New("plugins need uids of their own: set uidRange in the configuration, and --uid-range of the keeper alike")
	case cfg.UIDRange == nil:
		return nil, nil
	}
	table, err := openUIDs(cfg)
	if err != nil {
		return nil, err
	}
	uid, err := table.For("plugin:" + name)
	if err != nil {
		return nil, outside(err, "its directory "+filepath.Join(pluginsDir(cfg), name))
	}
	return ownUser(uid), nil
}

// wouldRunAs is runAs without giving a uid: that of a first heartbeat is not
// known before it. first says so, and then the user means nothing.
func wouldRunAs(cfg *config.Config, a *config.Agent, host sandbox.Host) (as *sandbox.User, first bool, err error) {
	if a.User != "" {
		as, err = account(a.User, host)
		return as, false, err
	}
	if cfg.UIDRange == nil || !host.Switch {
		return nil, false, nil
	}
	table, err := openUIDs(cfg)
	if err != nil {
		return nil, false, err
	}
	uid, known, err := table.Look(a.ID)
	if err != nil {
		return nil, false, outside(err, "its HOME "+dirsOf(cfg.StateDir, a.Name, "").home)
	}
	return ownUser(uid), !known, nil
}

func openUIDs(cfg *config.Config) (*uids.Table, error) {
	return uids.Open(filepath.Join(cfg.StateDir, "uids.json"), *cfg.UIDRange)
}

// account is the user of that name, nil if it is the keeper's own anyway.
func account(name string, host sandbox.Host) (*sandbox.User, error) {
	u, err := sandbox.LookupUser(name)
	if err != nil {
		return nil, err
	}
	switch {
	case host.Switch:
		return u, nil
	case u.UID == host.UID:
		return nil, nil
	}
	return nil, fmt.Errorf("cannot run as user %q: the keeper runs as uid %d and may not switch", name, host.UID)
}

// ownUser is an agent's own uid with a group of the same number. It has no
// account, so its name is made up.
func ownUser(uid uint32) *sandbox.User {
	return &sandbox.User{Name: fmt.Sprintf("agent-%d", uid), UID: uid, GID: uid}
}

// outside says what to do about a uid that the range holds no more: only a
// person can decide what becomes of the files.
func outside(err error, what string) error {
	var o *uids.OutsideError
	if !errors.As(err, &o) {
		return err
	}
	return fmt.Errorf("%w, and %s belongs to that uid: let uidRange hold %d again, "+
		"or remove that and its line in %s, and it gets a new uid", err, what, o.UID, o.File)
}
