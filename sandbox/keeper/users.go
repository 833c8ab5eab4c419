package keeper

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// Users says whom a keeper starts agents as. Without a range and without names
// that is anybody but root, and root if the keeper is.
type Users struct {
	First, Last uint32 // range of uids that are nobody's; Last is the masker's. 0: none
	named       []wire.User
	restricted  bool
	canSwitch   bool
}

// NewUsers looks the named accounts up, once: what a launcher that was taken
// over asks for later is compared with it.
func NewUsers(first, last uint32, names []string) (Users, error) {
	u := Users{First: first, Last: last, restricted: last != 0 || len(names) > 0, canSwitch: maySwitch()}
	for _, name := range names {
		account, err := lookup(name)
		if err != nil {
			return Users{}, err
		}
		if account.UID == 0 {
			return Users{}, fmt.Errorf("cannot allow user %q: agents never run as root by name", name)
		}
		u.named = append(u.named, *account)
	}
	if u.restricted && !u.canSwitch {
		return Users{}, fmt.Errorf("cannot start agents as other users: the keeper runs as uid %d without CAP_SETUID and CAP_SETGID", os.Geteuid())
	}
	return u, nil
}

// Separate refuses a keeper that would make the launcher's user what the keeper
// is: without a range or names it starts agents as anybody.
func (u *Users) Separate(daemon uint32) error {
	if daemon == uint32(os.Geteuid()) || u.restricted || !u.canSwitch {
		return nil
	}
	return fmt.Errorf("cannot serve uid %d: without --uid-range or --allow-user that user could run agents as anybody", daemon)
}

// check refuses a user that no agent of this host may have. daemon is the
// launcher's uid.
func (u *Users) check(as *wire.User, daemon uint32) error {
	if u.restricted && as != nil && as.UID == daemon && daemon != uint32(os.Geteuid()) {
		return fmt.Errorf("the keeper starts no agent as uid %d: that is the launcher's", as.UID)
	}
	if as == nil {
		if u.restricted {
			return fmt.Errorf("the agent has no user of its own, and the keeper starts none as uid %d", os.Geteuid())
		}
		return nil
	}
	switch {
	case !u.canSwitch:
		return fmt.Errorf("cannot run as uid %d: the keeper runs as uid %d and may not switch", as.UID, os.Geteuid())
	case !u.restricted:
		if as.UID == 0 && os.Geteuid() != 0 {
			return fmt.Errorf("an agent never runs as root")
		}
		return nil
	case u.Last != 0 && as.UID >= u.First && as.UID < u.Last && as.GID == as.UID && len(as.Groups) == 0:
		return nobodys(as.UID)
	case slices.ContainsFunc(u.named, func(n wire.User) bool {
		return n.UID == as.UID && n.GID == as.GID && slices.Equal(n.Groups, as.Groups)
	}):
		return nil
	}
	return fmt.Errorf("the keeper starts no agent as uid %d with gid %d: neither its --uid-range nor an --allow-user allows that", as.UID, as.GID)
}

// mayOwn reports whether an agent may have made a file of that user and group.
func (u *Users) mayOwn(as *wire.User) error {
	if as != nil && slices.ContainsFunc(u.named, func(n wire.User) bool { return n.UID == as.UID }) {
		return nil // with any of its groups
	}
	return u.check(as, NoLauncher)
}

// NoLauncher is a uid that nobody has.
const NoLauncher = 1<<32 - 1

// nobodys refuses a uid of the range that an account or a group has, whatever an
// operator typed.
func nobodys(uid uint32) error {
	n := strconv.FormatUint(uint64(uid), 10)
	if account, err := user.LookupId(n); err == nil {
		return fmt.Errorf("the keeper starts no agent as uid %d of its range: it is user %s's", uid, account.Username)
	}
	if group, err := user.LookupGroupId(n); err == nil {
		return fmt.Errorf("the keeper starts no agent as uid %d of its range: it is group %s's number", uid, group.Name)
	}
	return nil
}

// lookup finds an account by its name, its groups in ascending order.
func lookup(name string) (*wire.User, error) {
	account, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("no user %q on this host", name)
	}
	groups, err := account.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("cannot read the groups of user %q: %w", name, err)
	}
	var ids []uint32
	for _, s := range append([]string{account.Uid, account.Gid}, groups...) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("user %q has id %q, which is no number", name, s)
		}
		ids = append(ids, uint32(n))
	}
	slices.Sort(ids[2:])
	return &wire.User{UID: ids[0], GID: ids[1], Groups: ids[2:]}, nil
}

// LookupUID is the uid of an account, for --daemon-user.
func LookupUID(name string) (uint32, error) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil { // containers have uids without accounts
		return uint32(n), nil
	}
	account, err := lookup(name)
	if err != nil {
		return 0, err
	}
	return account.UID, nil
}

// maySwitch reports whether this process may become other users.
func maySwitch() bool {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	const want = 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID
	return data[0].Effective&want == want
}
