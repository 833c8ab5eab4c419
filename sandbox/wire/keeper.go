package wire

import (
	"fmt"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// What the launcher and the keeper say to one another, over one connection of
// a SOCK_SEQPACKET unix socket: a datagram is a Call or a Notice in CBOR. A
// call has one answer, with its number; number 0 is something that happened.
//
//	launcher                                            keeper
//	   | Hello ----------------------------------------->|  this launcher takes over
//	   | <------------------------- one Notice for each run that it has
//	   | <----------------------------- what it can do   |
//	   |                                                 |
//	   | Start, 7 fds ---------------------------------->|  makes HOME and TMPDIR,
//	   | <------------------------------- pid, start     |  forks the stage, which waits
//	   | run record on disk                              |
//	   | Go -------------------------------------------->|  orders to the stage
//	   | <---------------- what the stage said: it runs  |
//	   |                                                 |
//	   | Stop ------------------------------------------>|  SIGTERM; after the grace its tree is killed
//	   | Signal, Kill ---------------------------------->|
//	   | <------------------- 0: ended, status, why, log |  its tree is dead, its output written
//	   | run record on disk                              |
//	   | Forget ---------------------------------------->|
//	   |                                                 |
//	   | Quit ------------------------------------------>|  stops what still runs, then exits
//
// The launcher gone: stages that wait end, agents run on, deadlines hold, and
// what ended is kept for the next Hello. Runs that are bound are killed, and no
// other launcher hears of them.

// KeeperVersion is the version of this protocol.
const KeeperVersion = 2

// MaxDatagram bounds an encoded Call or Notice in bytes.
const MaxDatagram = 32 << 10

// Busy is the error for a second launcher.
const Busy = "another launcher is connected to the keeper"

// Op is what a call asks for.
type Op uint8

// The calls.
const (
	OpHello Op = iota + 1
	OpStart
	OpGo
	OpSignal
	OpStop
	OpKill
	OpForget
	OpQuit
)

// The files of OpStart, in order. Where there is nothing to give, /dev/null.
const (
	StartSpec    = iota // memfd, sealed: Spec as CBOR
	StartStdin          // the agent's stdin
	StartLog            // what its output is written to; of a direct run its stdout itself
	StartRuleset        // Landlock ruleset, to which the rules for HOME and TMPDIR are added
	StartBase           // directory that holds HOME and TMPDIR
	StartStderr         // of a direct run
	StartProgram        // what the stage executes, if its spec says so
	StartFiles          // how many
)

// Call asks the keeper for something.
type Call struct {
	Seq     uint64 `cbor:"1,keyasint"` // not 0
	Op      Op     `cbor:"2,keyasint"`
	Run     string `cbor:"3,keyasint,omitempty"` // run id
	Start   *Start `cbor:"4,keyasint,omitempty"`
	Signal  uint32 `cbor:"5,keyasint,omitempty"`
	Version uint   `cbor:"6,keyasint,omitempty"` // of OpHello
}

// Start is how the keeper starts and bounds a run.
type Start struct {
	User       *User  `cbor:"1,keyasint,omitempty"` // absent: the keeper's own
	TimeoutMS  uint64 `cbor:"2,keyasint"`           // from Go on; 0: none
	GraceMS    uint64 `cbor:"3,keyasint"`           // between SIGTERM and the kill
	MaxLog     uint64 `cbor:"4,keyasint"`           // bytes of output to keep; 0: all
	Dirs       bool   `cbor:"5,keyasint"`           // make HOME and TMPDIR below StartBase
	HomeRights uint64 `cbor:"6,keyasint"`           // Landlock's, on HOME; 0: no rule
	TmpRights  uint64 `cbor:"7,keyasint"`
	Memory     uint64 `cbor:"8,keyasint"`  // bytes; 0: no limit, as below
	Pids       uint64 `cbor:"9,keyasint"`  // processes and threads
	MilliCPU   uint64 `cbor:"10,keyasint"` // thousandths of a processor
	Direct     bool   `cbor:"11,keyasint"` // no masker: it has no secret, and StartLog and StartStderr are its own
	Bound      bool   `cbor:"12,keyasint"` // it is killed when the launcher's connection ends
}

// Names of an agent's private directories below StartBase. A run's TMPDIR is
// TmpDir/TmpName(run).
const (
	HomeDir = "home"
	TmpDir  = "tmp"
)

// TmpName is the random end of a run id, a UUID of version 4 or 7. Not all of
// it: programs put unix sockets into TMPDIR, whose paths have 107 bytes.
func TmpName(run string) string { return run[max(0, len(run)-tmpName):] }

const tmpName = 12

// ValidTmpName reports whether s can be a TmpName.
func ValidTmpName(s string) bool {
	return len(s) == tmpName && ValidRun("00000000-0000-0000-0000-"+s)
}

// Notice is an answer or, with Seq 0, news. News with an error alone is why this
// launcher is not served; the end of the connection follows.
type Notice struct {
	Seq   uint64  `cbor:"1,keyasint"`
	Error string  `cbor:"2,keyasint,omitempty"` // why the call was refused
	Hello *Hello  `cbor:"3,keyasint,omitempty"`
	Run   *RunNow `cbor:"4,keyasint,omitempty"`
}

// Hello says what a keeper can do.
type Hello struct {
	Version     uint     `cbor:"1,keyasint"`
	PID         int      `cbor:"2,keyasint"`
	UID         uint32   `cbor:"3,keyasint"`
	Switch      bool     `cbor:"4,keyasint"`           // whether it may switch users
	First       uint32   `cbor:"5,keyasint"`           // of its uid range; 0: none
	Last        uint32   `cbor:"6,keyasint"`           // the masker's, when there is a range
	Cgroup      string   `cbor:"7,keyasint,omitempty"` // where agents' cgroups are, as in /proc/PID/cgroup
	NoCgroup    string   `cbor:"8,keyasint,omitempty"` // why there are none
	Controllers []string `cbor:"9,keyasint"`
	Masker      string   `cbor:"10,keyasint"` // what confines it
}

// RunState is where a keeper's run stands.
type RunState uint8

// The states.
const (
	RunWaiting  RunState = iota + 1 // the stage waits for Go
	RunStarting                     // the stage works
	RunRunning
	RunEnded // nothing of it lives, its output is written
)

// Why says what ended a run.
type Why uint8

// The reasons. 0: it ended by itself.
const (
	WhyTimeout Why = iota + 1
	WhyStop        // the launcher asked
	WhyKill        // the launcher asked, without grace
	WhyQuit        // the keeper was told to end
	WhyNoGo        // the launcher was gone before Go
)

// RunNow is a run as it stands.
type RunNow struct {
	Run    string   `cbor:"1,keyasint"`
	PID    int      `cbor:"2,keyasint"`
	State  RunState `cbor:"3,keyasint"`
	Status []byte   `cbor:"4,keyasint,omitempty"` // what the stage said, see DecodeStatus
	Wait   uint32   `cbor:"5,keyasint"`           // wait status, see wait(2)
	Why    Why      `cbor:"6,keyasint"`
	Killed bool     `cbor:"7,keyasint"` // after its grace, or without
	Kept   uint64   `cbor:"8,keyasint"` // bytes of output in the log
	Lost   uint64   `cbor:"9,keyasint"`
	Errno  uint32   `cbor:"10,keyasint"` // of the log
	Torn   bool     `cbor:"11,keyasint"` // a masker died: up to 80 KiB may be missing within the log
}

// DecodeCall decodes a call. It refuses what no launcher sends.
func DecodeCall(data []byte) (*Call, error) {
	var c Call
	if err := protocol.Unmarshal(data, MaxDatagram, &c); err != nil {
		return nil, err
	}
	if c.Seq == 0 || c.Op < OpHello || c.Op > OpQuit || (c.Op == OpStart) != (c.Start != nil) {
		return nil, protocol.ErrMalformed
	}
	if named := c.Op != OpHello && c.Op != OpQuit; named && !ValidRun(c.Run) {
		return nil, fmt.Errorf("%w: not a run id", protocol.ErrMalformed)
	}
	return &c, nil
}

// ValidRun reports whether s can be a run id, a UUID in lower case. It becomes
// the name of directories.
func ValidRun(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c, dash := s[i], i == 8 || i == 13 || i == 18 || i == 23
		if dash != (c == '-') || !dash && (c < '0' || c > '9' && c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// DecodeNotice decodes a notice.
func DecodeNotice(data []byte) (*Notice, error) {
	var n Notice
	if err := protocol.Unmarshal(data, MaxDatagram, &n); err != nil {
		return nil, err
	}
	if n.Seq == 0 && n.Run == nil && n.Error == "" {
		return nil, protocol.ErrMalformed
	}
	return &n, nil
}

// Orders are what the keeper decides for a stage. They follow the Go byte.
type Orders struct {
	Keeper int   `cbor:"1,keyasint"`           // its pid: a stage whose parent is another has lost its keeper
	User   *User `cbor:"2,keyasint,omitempty"` // absent: stay who we are
}

// MaxOrders bounds encoded orders in bytes; a pipe takes as much at once.
const MaxOrders = 16 << 10

// DecodeOrders decodes what follows the Go byte.
func DecodeOrders(data []byte) (*Orders, error) {
	var o Orders
	if err := protocol.Unmarshal(data, MaxOrders, &o); err != nil {
		return nil, err
	}
	return &o, nil
}
