package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

// order has the keeper start an agent, as who took the launcher's uid over
// could: target is the socket, uid, gid and further groups, and the directory
// for HOME and TMPDIR, if it is to make them. Uid "keeper" is the keeper's own.
func order(target string) error {
	return withStage(target, func(p *sandbox.Process) error {
		_, err := p.Release()
		return err
	})
}

// lookAtStage tries to get into a stage that waits for permission.
func lookAtStage(target string) error {
	return withStage(target, func(p *sandbox.Process) error {
		var says []string
		for _, attack := range []string{"open-mem", "ptrace", "getfd", "kill"} {
			said := try(attack, strconv.Itoa(p.PID))
			if said == "done" {
				return nil
			}
			says = append(says, said)
		}
		return errors.New(strings.Join(says, ", "))
	})
}

func withStage(target string, do func(*sandbox.Process) error) error {
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
	spec := sandbox.LaunchSpec{Agent: "x", Run: uuid.NewString(), Argv: []string{"/bin/true"}, Dir: "/", Places: sandbox.Places{Base: part[2]}}
	p, err := k.Start(spec, nil, policy)
	if err != nil {
		return err
	}
	defer p.Cancel()
	return do(p)
}
