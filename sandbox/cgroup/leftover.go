package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/tree"
)

const prefix = "agent-launcher."

// owner names a keeper in the name of its directory: a pid alone could be
// reused, by an agent on purpose, and means nothing in another pid namespace.
type owner struct {
	pid       int
	start     uint64 // clock ticks since boot
	namespace uint64 // inode
}

func (o owner) String() string {
	return fmt.Sprintf("%s%d.%d.%d", prefix, o.pid, o.start, o.namespace)
}

func parseOwner(name string) (o owner, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	fields := strings.Split(rest, ".")
	if !ok || len(fields) != 3 {
		return o, false
	}
	pid, err1 := strconv.ParseUint(fields[0], 10, 31)
	start, err2 := strconv.ParseUint(fields[1], 10, 64)
	namespace, err3 := strconv.ParseUint(fields[2], 10, 64)
	o = owner{int(pid), start, namespace}
	return o, err1 == nil && err2 == nil && err3 == nil && pid > 0 && o.String() == name
}

func ourselves() (owner, error) {
	start, err := tree.Start(os.Getpid())
	if err != nil {
		return owner{}, err
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return owner{}, &os.PathError{Op: "stat", Path: "/proc/self/ns/pid", Err: err}
	}
	return owner{os.Getpid(), start, st.Ino}, nil
}

func ownName() (string, error) {
	o, err := ourselves()
	return o.String(), err
}

// dead is true only if it is certain. Whom /proc hides, kill(2) still finds.
func (o owner) dead() bool {
	if err := unix.Kill(o.pid, 0); err == unix.ESRCH {
		return true
	}
	start, err := tree.Start(o.pid)
	return err == nil && start != o.start
}

// leftoverTimeout is how long killed processes get to die: one that hangs in the
// kernel must not keep the host from starting. It can do nothing more, and the
// next Open tries again.
const leftoverTimeout = 2 * time.Second

// clearLeftovers kills and removes the directories of keepers of this pid
// namespace that are dead. Whatever else is there is not ours.
func clearLeftovers(base string) {
	us, err := ourselves()
	if err != nil {
		return
	}
	deadline := time.Now().Add(leftoverTimeout)
	for _, name := range directories(base) {
		o, ok := parseOwner(name)
		if !ok || o.namespace != us.namespace || !o.dead() {
			continue
		}
		dir := path.Join(base, name)
		if write(dir, "cgroup.kill", "1") == nil && waitEmpty(dir, deadline) == nil {
			_ = removeAll(dir)
		}
	}
}

func directories(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

// removeAll removes a group and those below it: an agent with our uid may have
// made some.
func removeAll(dir string) error {
	err := unix.Rmdir(dir)
	if err != unix.EBUSY {
		return err
	}
	for _, name := range directories(dir) {
		if err := removeAll(path.Join(dir, name)); err != nil {
			return err
		}
	}
	return unix.Rmdir(dir)
}

// waitEmpty waits until no process is in a group or below it: the kernel
// announces changes of cgroup.events by POLLPRI.
func waitEmpty(dir string, deadline time.Time) error {
	fd, err := unix.Open(path.Join(dir, "cgroup.events"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for {
		var buf [256]byte
		n, err := unix.Pread(fd, buf[:], 0)
		if err != nil {
			return err
		}
		if empty, err := parseEvents(string(buf[:n])); empty || err != nil {
			return err
		}
		left := time.Until(deadline)
		if left <= 0 {
			return unix.EBUSY
		}
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(left/time.Millisecond)+1); err != nil && err != unix.EINTR {
			return err
		}
	}
}

var errEvents = errors.New("cannot read cgroup.events: it does not say whether the group is populated")

func parseEvents(text string) (empty bool, err error) {
	for line := range strings.Lines(text) {
		switch strings.TrimSpace(line) {
		case "populated 0":
			return true, nil
		case "populated 1":
			return false, nil
		}
	}
	return false, errEvents
}
