package sandbox

import (
	"fmt"
	"slices"
	"strings"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Enforcement is what a host will enforce of a policy.
type Enforcement struct {
	Host   Host
	FS     uint64 // handled file system rights
	Net    uint64 // handled network rights
	Scop   uint64 // scopes
	Limits Limits // those of the cgroup
	Lost   []string
}

// abiFS are the file system rights that each ABI added, and what is lost
// without it (Documentation/userspace-api/landlock.rst).
var abiFS = []struct {
	abi    int
	rights uint64
	lost   string
}{
	{1, ll.AccessFSExecute | ll.AccessFSWriteFile | ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSRemoveDir |
		ll.AccessFSRemoveFile | ll.AccessFSMakeChar | ll.AccessFSMakeDir | ll.AccessFSMakeReg | ll.AccessFSMakeSock |
		ll.AccessFSMakeFifo | ll.AccessFSMakeBlock | ll.AccessFSMakeSym, "the file system"},
	{2, ll.AccessFSRefer, "links and renames between directories (always denied before Landlock ABI 2)"},
	{3, ll.AccessFSTruncate, "truncating files that may not be written"},
	{5, ll.AccessFSIoctlDev, "ioctl on devices"},
}

// enforce says what a host enforces of a policy, and what is lost. It is a pure
// function: the kernel is asked elsewhere.
func enforce(p *Policy, h Host) Enforcement {
	e := Enforcement{Host: h}
	e.limit(p)
	if p.Profile == ProfileOff {
		return e
	}
	abi := h.ABI
	for _, x := range abiFS {
		if abi >= x.abi {
			e.FS |= x.rights
		} else if x.abi != 2 { // before ABI 2 the kernel denies, so nothing is lost
			e.Lost = append(e.Lost, fmt.Sprintf("%s (Landlock ABI %d)", x.lost, x.abi))
		}
	}
	if e.Net = netRights(p); e.Net != 0 && abi < 4 {
		e.Net = 0
		if p.Profile != ProfilePlugin { // which can make no such sockets
			e.Lost = append(e.Lost, "TCP ports (Landlock ABI 4)")
		}
	}
	if e.Scop = ll.ScopeSignal | ll.ScopeAbstractUnixSocket; abi < 6 {
		e.Scop = 0
		e.Lost = append(e.Lost, "signals to other agents and abstract sockets (Landlock ABI 6)")
	}
	return e
}

// limit takes the cgroup limits over for which there is a controller.
func (e *Enforcement) limit(p *Policy) {
	has := func(name string) bool { return slices.Contains(e.Host.Controllers, name) }
	for _, name := range p.Limits.Cgroup() {
		if !has(name) {
			e.Lost = append(e.Lost, fmt.Sprintf("limits.%s (no cgroup here has the %s controller)", name, name))
		}
	}
	if has("memory") {
		e.Limits.Memory = p.Limits.Memory
	}
	if has("pids") {
		e.Limits.Pids = p.Limits.Pids
	}
	if has("cpu") {
		e.Limits.CPU = p.Limits.CPU
	}
}

// netRights are the rights to restrict: those with ports listed, and both for
// strict and plugins.
func netRights(p *Policy) uint64 {
	var rights uint64
	none := p.Profile == ProfileStrict || p.Profile == ProfilePlugin
	if none || len(p.ConnectTCP) > 0 {
		rights |= ll.AccessNetConnectTCP
	}
	if none || len(p.BindTCP) > 0 {
		rights |= ll.AccessNetBindTCP
	}
	return rights
}

// refusal is the error of a launch that would lose something its policy asks
// for; nil if nothing is lost or the policy accepts it.
func (e *Enforcement) refusal(p *Policy) error {
	if len(e.Lost) == 0 || p.BestEffort {
		return nil
	}
	return fmt.Errorf("this kernel cannot enforce the sandbox policy: lost would be %s; "+
		`"bestEffort": true in the agent's sandbox accepts that`, strings.Join(e.Lost, ", "))
}

// level is what status shows of a run.
func (e *Enforcement) level(p *Policy) string {
	s := "off"
	if p.Profile != ProfileOff {
		s = fmt.Sprintf("%s: Landlock ABI %d, seccomp", p.Profile, e.Host.ABI)
	}
	if e.Host.Cgroup {
		s += "; own cgroup"
	} else {
		s += "; no cgroup: its tree is killed by walking it"
	}
	if len(e.Lost) > 0 {
		s += "; LOST: " + strings.Join(e.Lost, ", ")
	}
	return s
}
