package sandbox

import (
	"fmt"
	"os/user"
	"slices"
	"strconv"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// User is who an agent runs as.
type User struct {
	Name   string
	UID    uint32
	GID    uint32
	Groups []uint32 // supplementary
}

func (u *User) wire() *wire.User {
	if u == nil {
		return nil
	}
	return &wire.User{UID: u.UID, GID: u.GID, Groups: append([]uint32{}, u.Groups...)}
}

// LookupUser finds an account of this host by its name. The error says whether
// it is missing or is root.
func LookupUser(name string) (*User, error) {
	account, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("no user %q on this host", name)
	}
	ids, err := account.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("cannot read the groups of user %q: %w", name, err)
	}
	u := &User{Name: name}
	if u.UID, err = id(account.Uid); err != nil {
		return nil, err
	}
	if u.GID, err = id(account.Gid); err != nil {
		return nil, err
	}
	for _, s := range ids {
		g, err := id(s)
		if err != nil {
			return nil, err
		}
		u.Groups = append(u.Groups, g)
	}
	if u.UID == 0 {
		return nil, fmt.Errorf("user %q is root: an agent never runs as root by name", name)
	}
	slices.Sort(u.Groups) // as the keeper has them
	return u, nil
}

func id(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("uid or gid %q is not a number", s)
	}
	return uint32(n), nil
}
