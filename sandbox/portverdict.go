package sandbox

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Port says whether the agent may connect to a TCP port and listen on it.
func (x *Explained) Port(port uint16) Verdict {
	v := Verdict{Subject: ":" + strconv.Itoa(int(port)), Kind: "port"}
	connect := x.tcp("connect", "connectTcp", x.Network.Connect, port)
	listen := x.tcp("listen", "bindTcp", x.Network.Bind, port)
	if first := unprivilegedPorts(); listen.Allowed && int(port) < first {
		listen.Allowed, listen.Never = false, true
		listen.Why = fmt.Sprintf("agents have no capabilities, and without one this host gives ports from %d on only", first)
	}
	v.Uses = []Use{connect, listen}
	return v
}

func (x *Explained) tcp(name, key string, ports Ports, port uint16) Use {
	u := Use{Use: name, Allowed: true}
	switch {
	case x.Profile == ProfileOff:
		u.Why = "profile off"
	case !x.Network.Open:
		u.Allowed, u.Why = false, "profile strict without ports: the agent may make no sockets"
	case ports.All && x.Profile == ProfileStrict, ports.All && len(ports.Ports) > 0:
		u.Why = "this kernel cannot restrict TCP ports"
	case ports.All:
		u.Why = "profile workspace leaves the network open"
	case slices.Contains(ports.Ports, port):
		u.Why = "sandbox." + key
	case len(ports.Ports) == 0:
		u.Allowed, u.Why = false, "profile strict, and sandbox."+key+" is empty"
	default:
		u.Allowed, u.Why = false, "sandbox."+key+" does not name it"
	}
	if !u.Allowed {
		list := strings.ReplaceAll(strings.Trim(fmt.Sprint(append(slices.Clone(ports.Ports), port)), "[]"), " ", ", ")
		u.Add = fmt.Sprintf(`"sandbox": {"%s": [%s]}`, key, list)
	}
	return u
}

// unprivilegedPorts is the first port that needs no capability, ip(7).
func unprivilegedPorts() int {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if first, perr := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && perr == nil {
		return first
	}
	return 1024
}
