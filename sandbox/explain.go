package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"

	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Explained is a policy as it holds for one agent on this host: everything
// that Path and Port need to say what the agent may do. It survives JSON, so
// that the daemon can make it and a command can ask it.
type Explained struct {
	Profile  Profile  `json:"profile"`
	Level    string   `json:"level"`    // as in a run's record
	Lost     []string `json:"lost"`     // what the policy asks for and this host cannot enforce
	Problems []string `json:"problems"` // why an agent with this policy would not start
	Identity Identity `json:"identity"`
	Rules    []Rule   `json:"rules"`
	Network  Network  `json:"network"`
	Limits   Limits   `json:"limits"`

	UnixSockets    bool     `json:"unixSockets"`
	UserNamespaces bool     `json:"userNamespaces"`
	Denied         []string `json:"denied"` // what seccomp denies, a reason for each group of system calls

	Handled uint64   `json:"handledAccess"` // Landlock's rights on paths that need a rule
	Private []string `json:"private"`       // what no rule may open
	Home    string   `json:"home"`
	Dir     string   `json:"dir,omitempty"` // the agent's cwd; empty: its adapter has no plan
}

// Identity is who an agent runs as. It has no capability, so modes of files
// hold for root too.
type Identity struct {
	Name   string   `json:"name,omitempty"`
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups"`
}

// Rule is one rule on a path, with what it gives on it and below it.
type Rule struct {
	Path   string `json:"path"`           // as the policy has it
	Real   string `json:"real,omitempty"` // where it leads; empty: there is no such path, and no rule
	Rights string `json:"rights"`         // read, write, execute
	Why    string `json:"why"`
	System bool   `json:"system"` // every agent has it
	Access uint64 `json:"access"` // Landlock's rights
	Dev    uint64 `json:"dev,omitempty"`
	Ino    uint64 `json:"ino,omitempty"`
}

// Network is what an agent may do with sockets.
type Network struct {
	Open    bool  `json:"open"` // may make sockets of IPv4 and IPv6 at all
	UDP     bool  `json:"udp"`
	Connect Ports `json:"connectTcp"`
	Bind    Ports `json:"bindTcp"`
}

// Ports are TCP ports. With All the list means nothing.
type Ports struct {
	All   bool     `json:"all"`
	Ports []uint16 `json:"ports"`
}

// Explain says what Start would make of a policy: the same rules on the same
// inodes, and nothing is started. at.Home and at.Tmp need not exist yet.
func Explain(p Policy, at Places, argv0, path string, h Host) *Explained {
	e := enforce(&p, h)
	x := &Explained{
		Profile: p.Profile, Level: e.level(&p), Lost: e.Lost, Problems: []string{}, Identity: identity(p.User, h),
		Network: network(&p, &e), Limits: p.Limits, UnixSockets: p.UnixSockets || p.Profile == ProfileOff,
		UserNamespaces: p.UserNamespaces || p.Profile == ProfileOff, Handled: e.FS,
		Private: slices.DeleteFunc(slices.Clone(at.Private), func(s string) bool { return s == "" }), Home: at.Home, Dir: at.Dir,
	}
	if err := e.refusal(&p); err != nil {
		x.Problems = append(x.Problems, err.Error())
	}
	if p.Profile == ProfileOff {
		return x
	}
	for _, d := range denied {
		if !d.nested || !p.UserNamespaces {
			x.Denied = append(x.Denied, d.why)
		}
	}
	x.addRules(&p, &at, argv0, path)
	return x
}

func (x *Explained) addRules(p *Policy, at *Places, argv0, path string) {
	for _, r := range systemRules {
		x.addOptional(r.explain(x.Handled, r.open))
	}
	for i := range x.Rules {
		x.Rules[i].System = true
	}
	for _, r := range programRules(p, at, argv0, path) {
		x.addOptional(r.explain(x.Handled, func(handled uint64) (*opened, error) { return r.open(at, handled) }))
	}
	required := append(ownRules(p, at), operatorRules(p)...)
	for _, r := range required {
		if r.path == "" { // no plan, so no working directory
			continue
		}
		shown, err := r.explain(x.Handled, r.open)
		if made := r.path == at.Home || r.path == at.Tmp; err != nil && made {
			shown.Real, err = real(r.path), nil
		}
		if refused := apart(r.path, at); refused != nil {
			err = refused
		}
		if err != nil {
			x.Problems = append(x.Problems, err.Error())
		}
		x.Rules = append(x.Rules, shown)
	}
}

// addOptional adds a rule, unless it is none on this host.
func (x *Explained) addOptional(shown Rule, err error) {
	if err == nil {
		x.Rules = append(x.Rules, shown)
	} else if !leftOut(err) {
		x.Problems = append(x.Problems, err.Error())
	}
}

func (r rule) explain(handled uint64, open func(uint64) (*opened, error)) (Rule, error) {
	shown := Rule{Path: r.path, Why: r.why, Access: r.rights & handled, Rights: rightsInWords(r.rights)}
	o, err := open(handled)
	if err != nil {
		return shown, err
	}
	defer unix.Close(o.fd)
	shown.Access, shown.Dev, shown.Ino = o.rights, o.stat.Dev, o.stat.Ino
	shown.Real, err = os.Readlink(filepath.Join("/proc/self/fd", strconv.Itoa(o.fd)))
	return shown, err
}

func rightsInWords(rights uint64) string {
	words := ""
	for _, x := range []struct {
		right uint64
		word  string
	}{{ll.AccessFSReadFile, "read"}, {ll.AccessFSWriteFile, "write"}, {ll.AccessFSExecute, "execute"}} {
		if rights&x.right == 0 {
			continue
		}
		if words != "" {
			words += "+"
		}
		words += x.word
	}
	return words
}

func identity(u *User, h Host) Identity {
	if u != nil {
		return Identity{Name: u.Name, UID: u.UID, GID: u.GID, Groups: append([]uint32{}, u.Groups...)}
	}
	if !h.Unknown() && h.UID != uint32(os.Geteuid()) { // the keeper's groups are not known here
		return Identity{UID: h.UID, GID: h.UID, Groups: []uint32{}}
	}
	who := Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Groups: []uint32{}}
	groups, err := os.Getgroups()
	if err != nil {
		return who
	}
	for _, g := range groups {
		who.Groups = append(who.Groups, uint32(g))
	}
	return who
}

// network is what filter and addPorts let through.
func network(p *Policy, e *Enforcement) Network {
	strict := p.Profile == ProfileStrict
	return Network{
		Open:    !strict || len(p.ConnectTCP)+len(p.BindTCP) > 0,
		UDP:     !strict,
		Connect: Ports{All: e.Net&ll.AccessNetConnectTCP == 0, Ports: append([]uint16{}, p.ConnectTCP...)},
		Bind:    Ports{All: e.Net&ll.AccessNetBindTCP == 0, Ports: append([]uint16{}, p.BindTCP...)},
	}
}
