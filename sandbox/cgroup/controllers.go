package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// wanted are the controllers that limits need.
var wanted = [...]string{"memory", "pids", "cpu"}

// Controllers are those of memory, pids and cpu that agents can be limited by.
func (r *Root) Controllers() []string { return slices.Clone(r.controllers) }

// enableAll passes controllers down, first into our own directory, then into
// the agents'.
func (r *Root) enableAll(names []string) {
	for _, c := range names {
		did, err := enable(r.base, c)
		if did {
			r.enabled = append(r.enabled, c)
		}
		if err == nil {
			_, err = enable(r.dir, c)
		}
		if err != nil {
			r.lack([]string{c}, err.Error())
			continue
		}
		r.controllers = append(r.controllers, c)
	}
}

func (r *Root) lack(names []string, why string) {
	for _, c := range names {
		r.missing[c] = why
	}
}

func enable(dir, controller string) (did bool, err error) {
	if !lists(dir, "cgroup.controllers", controller) {
		return false, fmt.Errorf("%s has no %s controller", dir, controller)
	}
	if lists(dir, "cgroup.subtree_control", controller) {
		return false, nil
	}
	err = write(dir, "cgroup.subtree_control", "+"+controller)
	if errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("other processes are in %s beside the keeper", dir)
	}
	return err == nil, err
}

func lists(dir, file, word string) bool {
	data, err := os.ReadFile(path.Join(dir, file))
	return err == nil && slices.Contains(strings.Fields(string(data)), word)
}
