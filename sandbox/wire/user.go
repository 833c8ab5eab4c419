package wire

import (
	"strconv"
	"strings"
)

// FormatUser is UID:GID, as a command line has it.
func FormatUser(uid, gid uint32) string {
	return strconv.FormatUint(uint64(uid), 10) + ":" + strconv.FormatUint(uint64(gid), 10)
}

// ParseUser reads UID:GID; nil is the empty string, who we are. All ones would
// mean "as before" to setresuid(2), and 0 is nobody's agent.
func ParseUser(who string) (user *User, ok bool) {
	if who == "" {
		return nil, true
	}
	u, g, _ := strings.Cut(who, ":")
	uid, err := strconv.ParseUint(u, 10, 32)
	gid, err2 := strconv.ParseUint(g, 10, 32)
	const asBefore = 1<<32 - 1
	if err != nil || err2 != nil || uid == 0 || uid == asBefore || gid == asBefore {
		return nil, false
	}
	return &User{UID: uint32(uid), GID: uint32(gid)}, true
}
