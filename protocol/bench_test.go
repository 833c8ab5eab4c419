package protocol_test

import (
	"bytes"
	"crypto/hpke"
	"fmt"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/protocol/open"
	"github.com/agent-launcher/agent-launcher/protocol/seal"
)

// What sealing and opening cost beside the HPKE operation inside, which nobody
// can do without. ratio is the whole over that.

func BenchmarkSeal(b *testing.B) {
	p := newParty(b)
	public, err := hpke.MLKEM768X25519().NewPublicKey(p.public)
	check(b, err)
	key := make([]byte, protocol.ContentKeySize)
	raw := func() {
		_, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
		check(b, err)
		_, err = sender.Seal(nil, key)
		check(b, err)
	}
	b.Run("hpke", func(b *testing.B) { compare(b, raw, nil) })
	for _, n := range []int{1, 20} {
		meta, values := benchBundle(n)
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) {
			compare(b, func() {
				_, err := seal.Seal(p.public, meta, values)
				check(b, err)
			}, raw)
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	_, line := hostKey(b)
	key, err := open.ParseKey([]byte(line), make([]byte, 64))
	check(b, err)
	seed, err := protocol.ParseKey(protocol.PrivateKeyPrefix, line, 32)
	check(b, err)
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	check(b, err)
	ek, sender, err := hpke.NewSender(private.PublicKey(), hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
	check(b, err)
	wrapped, err := sender.Seal(nil, make([]byte, protocol.ContentKeySize))
	check(b, err)
	raw := func() {
		recipient, err := hpke.NewRecipient(ek, private, hpke.HKDFSHA256(), hpke.AES256GCM(), nil)
		check(b, err)
		_, err = recipient.Open(nil, wrapped)
		check(b, err)
	}
	b.Run("hpke", func(b *testing.B) { compare(b, raw, nil) })
	for _, n := range []int{1, 20} {
		meta, values := benchBundle(n)
		bundle, err := seal.Seal(private.PublicKey().Bytes(), meta, values)
		check(b, err)
		dst := make([]byte, bundle.Meta.PlaintextSize())
		b.Run(fmt.Sprintf("secrets=%d", n), func(b *testing.B) {
			compare(b, func() {
				_, err := open.Open(key, bundle.Meta, bundle.Sealed, time.Unix(vectorTime, 0), dst)
				check(b, err)
			}, raw)
		})
	}
}

func benchBundle(n int) (protocol.Meta, []seal.Value) {
	values := make([]seal.Value, n)
	for i := range values {
		values[i] = seal.Value{Name: fmt.Sprintf("SECRET_%02d", i), SecretID: "0190a5c4-0000-7000-8000-000000000000", Version: 1, Bytes: bytes.Repeat([]byte{'v'}, 40)}
	}
	return protocol.Meta{BundleID: "0190a5c4-0000-7000-8000-000000000001", CompanyID: "0190a5c4-0000-7000-8000-000000000002",
		AgentID: "0190a5c4-0000-7000-8000-000000000003", HostID: "0190a5c4-0000-7000-8000-000000000004",
		Nonce: nonce(), ExpiresAt: vectorTime + 86400}, values
}

// compare measures f, and raw in turn with it: both see the same noise of the
// machine.
func compare(b *testing.B, f, raw func()) {
	b.Helper()
	var mine, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		f()
		mine += time.Since(start)
		if raw != nil {
			b.StopTimer()
			start = time.Now()
			raw()
			theirs += time.Since(start)
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(b.N)/mine.Seconds(), "ops/s")
	if raw != nil {
		b.ReportMetric(mine.Seconds()/theirs.Seconds(), "ratio")
	}
}
