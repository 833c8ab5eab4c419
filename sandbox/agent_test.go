package sandbox_test

import (
	"encoding/json"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// What the test binary can be, as argv[1].
const (
	roleAgent    = "role-agent"    // prints what it is
	roleStarter  = "role-starter"  // starts an agent, as a launcher of its own
	roleAttacker = "role-attacker" // tries to look into a process
	roleUser     = "role-user"     // uses paths and ports
)

// agentFacts is what an agent sees of itself.
type agentFacts struct {
	Args   []string
	Dir    string
	FDs    map[int]int // open descriptors with their status flags
	Stdin  []byte
	UIDs   [3]int // real, effective, saved
	GIDs   [3]int
	Groups []int
}

func beAgent() int {
	f := agentFacts{Args: os.Args[2:], FDs: map[int]int{}}
	for fd := range 4096 { // reading /proc/self/fd would open one more
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil {
			f.FDs[fd] = flags
		}
	}
	f.Dir, _ = os.Getwd()
	f.Stdin, _ = io.ReadAll(os.Stdin)
	f.UIDs[0], f.UIDs[1], f.UIDs[2] = unix.Getresuid()
	f.GIDs[0], f.GIDs[1], f.GIDs[2] = unix.Getresgid()
	f.Groups, _ = unix.Getgroups()
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
		return 1
	}
	return 0
}
