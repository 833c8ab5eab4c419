package sandbox

// Profile is how much of the host an agent sees by default.
type Profile string

// The profiles.
const (
	// ProfileWorkspace: the system read-only, its cwd, HOME and TMPDIR
	// read-write, the network open. The default.
	ProfileWorkspace Profile = "workspace"
	// ProfileStrict: the system read-only, TMPDIR read-write, the listed ports
	// or no network.
	ProfileStrict Profile = "strict"
	// ProfilePlugin: the system read-only, TMPDIR read-write, no network, and one
	// directory to make unix sockets in, to which it may connect nowhere itself.
	// No agent has it.
	ProfilePlugin Profile = "plugin"
	// ProfileOff: neither Landlock nor seccomp. It must be written out.
	ProfileOff Profile = "off"
)

// Policy says what an agent may be and use: a profile, and what an operator
// adds to it.
type Policy struct {
	User    *User // nil: the launcher's own user, without capabilities
	Profile Profile

	Read  []string // paths to read
	Write []string // paths to read and write
	Exec  []string // paths to read and execute

	ConnectTCP []uint16 // ports; workspace with none listed: all
	BindTCP    []uint16 // ports; workspace with none listed: all

	UnixSockets    bool // may make AF_UNIX sockets and so connect to any it can reach
	UserNamespaces bool // may make user namespaces, for agents with a sandbox of their own

	Limits     Limits
	BestEffort bool // run although the kernel cannot enforce all of this
}

// Limits are resource limits; 0 keeps the launcher's. The first three are those
// of setrlimit(2), the others need a cgroup.
type Limits struct {
	NoFile uint64 `json:"nofile,omitempty"` // open files
	NProc  uint64 `json:"nproc,omitempty"`  // processes and threads of the agent's user
	FSize  uint64 `json:"fsize,omitempty"`  // size of a file that it writes, bytes

	Memory uint64  `json:"memory,omitempty"` // of all its processes, bytes
	Pids   uint64  `json:"pids,omitempty"`   // its processes and threads
	CPU    float64 `json:"cpu,omitempty"`    // processors that it may keep busy
}

// Cgroup names the limits that need a cgroup controller; each has the name of
// its controller.
func (l Limits) Cgroup() []string {
	var names []string
	if l.Memory > 0 {
		names = append(names, "memory")
	}
	if l.Pids > 0 {
		names = append(names, "pids")
	}
	if l.CPU > 0 {
		names = append(names, "cpu")
	}
	return names
}

// Places are the directories of one launch that its policy speaks of.
type Places struct {
	Dir    string // the agent's cwd
	Home   string // its private HOME
	Tmp    string // its private TMPDIR
	Socket string // where a plugin makes its socket, and nobody else
	Base   string // absolute: the keeper makes Base/home and Base/tmp/TmpName(run), as Home and Tmp say; empty: they exist

	own, private []string // where Home, Tmp and Socket, and Private, really are; see resolve
	Private      []string // the launcher's own files, which no rule may open
}
