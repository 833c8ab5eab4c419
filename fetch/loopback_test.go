package fetch

import (
	"context"
	"net"
	"strings"
	"testing"
)

// A name that resolves to elsewhere does not move plain http off this
// machine: the address is refused before anything is sent.
func TestDialStaysOnLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dialer(true).DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	// What a resolver could answer for localhost. 192.0.2.0/24 is for
	// documentation (RFC 5737): a SYN to it would end in a timeout.
	for _, addr := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "[::ffff:192.0.2.1]:80", "0.0.0.0:80", "169.254.169.254:80"} {
		if _, err := dialer(true).DialContext(t.Context(), "tcp", addr); err == nil || !strings.Contains(err.Error(), "leave loopback") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	o := valid(t)
	o.URL = "http://localhost"
	c, err := newClient(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.transport.DialContext(t.Context(), "tcp", "192.0.2.1:80"); err == nil || !strings.Contains(err.Error(), "leave loopback") {
		t.Errorf("the client's own: %v", err)
	}
	// And what it answers over DNS.
	d := dialer(true)
	d.Resolver = evilDNS(t)
	if _, err := d.DialContext(t.Context(), "tcp", "plane.test:80"); err == nil || !strings.Contains(err.Error(), "192.0.2.1:80: refused") {
		t.Errorf("%v", err)
	}
}

// evilDNS resolves every name to 192.0.2.1.
func evilDNS(t *testing.T) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { server.Close(); <-done })
	go func() {
		defer close(done)
		for buf := make([]byte, 512); ; {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			q := buf[12:n] // the question: name, type, class
			end := 0
			for q[end] != 0 {
				end += int(q[end]) + 1
			}
			q = q[:end+5]
			answers := byte(0)
			var a []byte
			if q[end+2] == 1 { // type A
				answers, a = 1, []byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1}
			}
			reply := append([]byte{buf[0], buf[1], 0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0}, q...)
			_, _ = server.WriteTo(append(reply, a...), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}
