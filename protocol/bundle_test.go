package protocol_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// What is as large as it may be is taken, and not a byte more.
func TestBundleLimits(t *testing.T) {
	good := func(refs ...protocol.Ref) *protocol.Bundle {
		return &protocol.Bundle{Sealed: []byte{0}, Meta: protocol.Meta{Protocol: protocol.Version, BundleID: "b", CompanyID: "c", AgentID: "a", HostID: "h",
			KeyID: make([]byte, protocol.KeyIDSize), Nonce: nonce(), Refs: refs}}
	}
	many := make([]protocol.Ref, protocol.MaxRefs+1)
	for i := range many {
		many[i] = protocol.Ref{Name: fmt.Sprintf("N%03d", i), SecretID: strings.Repeat("s", protocol.MaxIDLen), Version: 1 << 31, Length: 1}
	}
	// A=...\0, B=...\0: 6 bytes beside the values.
	large := func(more uint32) []protocol.Ref {
		return []protocol.Ref{{Name: "A", SecretID: "s", Version: 1, Length: protocol.MaxValueSize},
			{Name: "B", SecretID: "s", Version: 1, Length: protocol.MaxPlaintextSize - protocol.MaxValueSize - 6 + more}}
	}
	sealed := func(n int) *protocol.Bundle { b := good(); b.Sealed = make([]byte, n); return b }
	for _, c := range []struct {
		name string
		b    *protocol.Bundle
		want string // "" is good
	}{
		{"no ref", good(), ""},
		{"256 refs", good(many[:protocol.MaxRefs]...), ""},
		{"257 refs", good(many...), "257 refs"},
		{"a block of 2 MiB", good(large(0)...), ""},
		{"one byte more", good(large(1)...), "environment block of 2097153 bytes"},
		{"all values of 4 GiB", good(protocol.Ref{Name: "A", SecretID: "s", Version: 1, Length: 1<<32 - 1}), "length 4294967295"},
		{"nothing sealed", sealed(0), "sealed part of 0 bytes"},
		{"a large sealed part", sealed(protocol.MaxPlaintextSize + 4096), ""},
		{"a larger one", sealed(protocol.MaxPlaintextSize + 4097), "sealed part of 2101249 bytes"},
	} {
		if err := c.b.Validate(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
