package fetch

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// Options of a sealed source.
type Options struct {
	URL        string            // base URL: https, or http on loopback
	HostID     string            // as the control plane gave it
	TokenFile  string            // the host token, read at every request
	SigningKey ed25519.PublicKey // pinned: replies of any other are refused
	CAFile     string            // PEM, in place of the system's roots; empty: those
	MinWait    time.Duration     // first wait after a failure; default 500 ms
	MaxWait    time.Duration     // cap of the doubling wait, at least MinWait; default 30 s
	Timeout    time.Duration     // of one request, from dialing to the last byte; default 15 s
	Gather     time.Duration     // how long the first waiter waits for company; default 10 ms
}

func (o *Options) complete() error {
	o.MinWait = orDefault(o.MinWait, 500*time.Millisecond)
	o.MaxWait = max(orDefault(o.MaxWait, 30*time.Second), o.MinWait)
	o.Timeout = orDefault(o.Timeout, 15*time.Second)
	o.Gather = orDefault(o.Gather, 10*time.Millisecond)
	switch {
	case o.HostID == "" || len(o.HostID) > protocol.MaxIDLen:
		return fmt.Errorf("host id of %d bytes, want 1 to %d", len(o.HostID), protocol.MaxIDLen)
	case o.TokenFile == "":
		return errors.New("no host token file is given")
	case len(o.SigningKey) != ed25519.PublicKeySize:
		return fmt.Errorf("signing key of %d bytes, want %d", len(o.SigningKey), ed25519.PublicKeySize)
	}
	return nil
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}
