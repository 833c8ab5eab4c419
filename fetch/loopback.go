package fetch

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"syscall"
)

// parseURL accepts a base URL of https, or of plain http on loopback.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "": // not quoted: it may hold a password
		return nil, errors.New("its URL must look like https://host:port")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("its URL must have no user, query or fragment: the token belongs into its file")
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		return nil, fmt.Errorf("its URL %s is neither https nor plain http on loopback", u)
	}
	return u, nil
}

// isLoopback takes addresses literally and knows one name: any other could
// resolve to loopback today and to anywhere tomorrow.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// dialer dials anywhere; with plain, nowhere but loopback. Control sees the
// address that a name has resolved to, before the first packet leaves: no DNS
// answer, and no line in /etc/hosts, moves plain http off this machine.
func dialer(plain bool) *net.Dialer {
	d := &net.Dialer{}
	if plain {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			if addr, err := netip.ParseAddrPort(address); err != nil || !addr.Addr().Unmap().IsLoopback() {
				return errors.New("refused: plain http would leave loopback")
			}
			return nil
		}
	}
	return d
}
