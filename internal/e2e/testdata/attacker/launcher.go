package main

import (
	"strings"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

// order has the keeper start an agent, as who took the launcher's uid over
// could: target is the socket, uid, gid and further groups, and the directory
// for HOME and TMPDIR, if it is to make them. Uid "keeper" is the keeper's own.
func order(target string) error {
	part := strings.Split(target, ",")
	k, err := sandbox.Dial(part[0])
	if err != nil {
		return err
	}
	defer k.Close()
	policy := sandbox.Policy{Profile: sandbox.ProfileOff}
	if ids := strings.Split(part[1], ":"); ids[0] != "keeper" {
		policy.User = &sandbox.User{UID: uint32(number(ids[0])), GID: uint32(number(ids[1]))}
		for _, group := range ids[2:] {
			policy.User.Groups = append(policy.User.Groups, uint32(number(group)))
		}
	}
	p, err := k.Start(sandbox.LaunchSpec{Agent: "x", Run: uuid.NewString(), Argv: []string{"/bin/true"}, Dir: "/", Places: sandbox.Places{Base: part[2]}}, nil, policy)
	if err != nil {
		return err
	}
	_, err = p.Release()
	p.Cancel()
	return err
}
