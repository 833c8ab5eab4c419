// Package wire is what launcher, keeper, stage and masker say to one another.
// All import it, so it holds no crypto and opens nothing.
//
// One launch:
//
//	keeper                                             stage
//	   | memfd from the launcher: spec and bundle,       |
//	   | sealed against change                           |
//	   | fork, execve agent-launcher-stage ------------->|
//	   |                                    core limit 1, non-dumpable, joins its cgroup
//	   |                                    reads the spec, waits
//	   | the launcher has the run record on disk         |
//	   | 'G', orders ----------------------------------> |
//	   |                                    reads the key, opens the bundle
//	   |                                    into locked memory, writes the
//	   |                                    fingerprints, becomes the agent's
//	   |                                    user, drops privileges
//	   | <----------------------------- 'R', memory kind |
//	   | gives output and fingerprints to the masker     |
//	   |                                    execve
//	   | <---------------- EOF: the agent runs           |
//	   | <---------------- 'F', step, code: it does not  |
//
// The go pipe closing, or five seconds without 'G', ends the stage: no agent
// runs without a record. EOF without 'R' means that the stage died.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Version of this protocol. The stage refuses another one: the two binaries of
// an upgrade that is half done must not guess.
const Version = 3

// The stage's file descriptors. 0, 1 and 2 are the agent's. The status pipe is
// the highest: close-on-exec works upwards, so its EOF comes last.
const (
	FDSpec    = 3  // memfd, Spec as CBOR
	FDKey     = 4  // host key file, read with pread at offset 0
	FDGo      = 5  // pipe, read end
	FDRuleset = 6  // Landlock ruleset, if the spec says so
	FDCgroup  = 7  // cgroup.procs of the cgroup to join, or /dev/null
	FDProgram = 8  // what to execute, if the spec says so, or /dev/null
	FDPrints  = 9  // memfd for Fingerprints, empty; or /dev/null for a run that the masker does not read
	FDStatus  = 10 // pipe, write end
)

// The bytes on the go and status pipes.
const (
	Go     = 'G' // keeper to stage, followed by Orders and the end of the pipe
	Ready  = 'R' // stage to keeper, followed by one Memory byte
	Failed = 'F' // stage to keeper, followed by the step and its code, 4 bytes big-endian
)

// GoTimeout is how long a stage waits for Go before it exits.
const GoTimeout = 5 * time.Second

// MaxSpecSize bounds an encoded Spec in bytes: execve(2)'s limit for arguments
// and environment, and a bundle.
const MaxSpecSize = 8 << 20

// Memory says where the plaintext lay.
type Memory byte

// Kinds of locked memory.
const (
	MemorySecret Memory = 1 // memfd_secret(2): not even root reads it through /proc
	MemoryLocked Memory = 2 // mlock(2), not dumped: degraded
)

// Spec is everything the stage needs to know.
type Spec struct {
	Version  uint             `cbor:"1,keyasint"`
	Paths    []string         `cbor:"2,keyasint"` // candidates for the program, tried in order as execvp(3) does
	Argv     []string         `cbor:"3,keyasint"`
	Env      []string         `cbor:"4,keyasint"` // NAME=value, plain
	Dir      string           `cbor:"5,keyasint"`
	Rlimits  []Rlimit         `cbor:"6,keyasint"`
	Bundle   *protocol.Bundle `cbor:"7,keyasint,omitempty"` // absent: no secrets, the key is not read
	Landlock bool             `cbor:"8,keyasint"`           // restrict by the ruleset at FDRuleset
	Seccomp  []byte           `cbor:"9,keyasint,omitempty"` // array of struct sock_filter; absent: no filter
	Umask    uint32           `cbor:"10,keyasint"`
	Program  bool             `cbor:"11,keyasint"` // execute FDProgram, and none of Paths
}

// User is who the agent runs as.
type User struct {
	UID    uint32   `cbor:"1,keyasint"`
	GID    uint32   `cbor:"2,keyasint"`
	Groups []uint32 `cbor:"3,keyasint"` // supplementary
}

// Rlimit is one resource limit, see setrlimit(2).
type Rlimit struct {
	Resource uint32 `cbor:"1,keyasint"`
	Soft     uint64 `cbor:"2,keyasint"`
	Hard     uint64 `cbor:"3,keyasint"`
}

// DecodeSpec decodes a spec and refuses one of another version.
func DecodeSpec(data []byte) (*Spec, error) {
	var s Spec
	if err := protocol.Unmarshal(data, MaxSpecSize, &s); err != nil {
		return nil, err
	}
	if s.Version != Version || len(s.Paths) == 0 || len(s.Argv) == 0 {
		return nil, protocol.ErrMalformed
	}
	return &s, nil
}

// Step is a stage's step that can fail.
type Step byte

// The steps, in their order.
const (
	StepCore Step = iota + 1
	StepCgroup
	StepSpec
	StepGo
	StepMemory
	StepKey
	StepOpen
	StepRlimits
	StepKeyring
	StepCapabilities
	StepGroups
	StepUser
	StepKeeper
	StepPrivileges
	StepDir
	StepLandlock
	StepProof
	StepClose
	StepSeccomp
	StepExec
	StepBug
	StepPrints // belongs behind StepOpen; last, since an upgrade may leave an older launcher that counts
)

var stepNames = map[Step]string{
	StepCore:         "forbid core dumps",
	StepCgroup:       "join its cgroup",
	StepSpec:         "read its launch spec",
	StepGo:           "hear from the launcher that the run record is on disk",
	StepMemory:       "get locked memory",
	StepKey:          "read the host key",
	StepOpen:         "open the bundle",
	StepRlimits:      "set resource limits",
	StepKeyring:      "leave the launcher's session keyring",
	StepCapabilities: "drop capabilities",
	StepGroups:       "set its groups",
	StepUser:         "become its user",
	StepKeeper:       "find its keeper alive",
	StepPrivileges:   "give up new privileges",
	StepDir:          "enter its working directory",
	StepLandlock:     "confine itself with Landlock",
	StepProof:        "prove that Landlock confines it",
	StepClose:        "close inherited files",
	StepSeccomp:      "load its system call filter",
	StepExec:         "execute its program",
	StepBug:          "finish: a bug in agent-launcher-stage",
	StepPrints:       "write the fingerprints of its values",
}

// String completes the sentence "cannot ...".
func (s Step) String() string {
	if name, ok := stepNames[s]; ok {
		return name
	}
	return fmt.Sprintf("do step %d", byte(s))
}

// Reasons of StepOpen and StepKey that are no errno. They lie above every errno.
const (
	CodeExpired     = 5001
	CodeNotOpen     = 5002
	CodeStructure   = 5003
	CodeKeyID       = 5004
	CodeMalformed   = 5005
	CodeKey         = 5006
	CodeNotConfined = 5007
)

var codeText = map[uint32]string{
	CodeExpired:     "it has expired",
	CodeNotOpen:     "it was made for another host, agent or request, or was altered",
	CodeStructure:   "its content does not have the announced structure",
	CodeKeyID:       "it is sealed to another host key than this host's",
	CodeMalformed:   "it is malformed",
	CodeNotConfined: "a denied access succeeded",
	CodeKey:         "the file does not hold a host private key as keygen writes it",
}

// Failure is a step that failed, and why: an errno or one of the codes above.
// A stage never sends text, so no value can travel in an error.
type Failure struct {
	Step Step
	Code uint32
}

// Error completes the sentence "cannot start agent X: ...".
func (f *Failure) Error() string {
	if f.Code == 0 { // StepBug: nobody knows
		return "cannot " + f.Step.String()
	}
	return "cannot " + f.Step.String() + ": " + f.Reason()
}

// Reason is the cause alone.
func (f *Failure) Reason() string {
	if text, ok := codeText[f.Code]; ok {
		return text
	}
	return syscall.Errno(f.Code).Error()
}

// Errno is the errno of the failure, 0 if its cause is another.
func (f *Failure) Errno() syscall.Errno {
	if f.Code > 5000 {
		return 0
	}
	return syscall.Errno(f.Code)
}

// Encode is the status message of f.
func (f *Failure) Encode() []byte {
	return binary.BigEndian.AppendUint32([]byte{Failed, byte(f.Step)}, f.Code)
}

// ErrDied is the outcome of a stage that ended without a word.
var ErrDied = errors.New("the stage died")

// DecodeStatus reads all that a stage wrote to its status pipe until EOF.
// Ready alone means the agent runs and says in which memory the values lay.
func DecodeStatus(data []byte) (Memory, error) {
	var memory Memory
	if len(data) >= 2 && data[0] == Ready && (Memory(data[1]) == MemorySecret || Memory(data[1]) == MemoryLocked) {
		memory, data = Memory(data[1]), data[2:]
	}
	switch {
	case len(data) == 6 && data[0] == Failed:
		return memory, &Failure{Step: Step(data[1]), Code: binary.BigEndian.Uint32(data[2:])}
	case len(data) == 0 && memory != 0:
		return memory, nil
	case len(data) == 0:
		return 0, ErrDied
	}
	return 0, fmt.Errorf("stage wrote %d unexpected bytes", len(data))
}
