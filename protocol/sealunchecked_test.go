package protocol_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hpke"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// sealUnchecked is a second implementation of sealing, from docs/protocol.md,
// which looks at nothing.
func sealUnchecked(t testing.TB, public []byte, meta protocol.Meta, block string, key []byte) *protocol.Bundle {
	t.Helper()
	encoded := must(t)(protocol.Marshal(&meta))
	contentHeader := must(t)(protocol.Marshal(map[int]int{1: 3}))
	keyHeader := must(t)(protocol.Marshal(map[int]any{1: -65793, 4: protocol.KeyID(public)}))
	aad := must(t)(protocol.Marshal([]any{"Encrypt", contentHeader, encoded}))
	info := must(t)(protocol.Marshal([]any{"HPKE Recipient", 3, keyHeader, encoded}))

	pk, err := hpke.MLKEM768X25519().NewPublicKey(public)
	check(t, err)
	ek, sender, err := hpke.NewSender(pk, hpke.HKDFSHA256(), hpke.AES256GCM(), info)
	check(t, err)
	wrapped := must(t)(sender.Seal(nil, key))
	aesBlock, err := aes.NewCipher(key)
	check(t, err)
	gcm, err := cipher.NewGCM(aesBlock)
	check(t, err)
	iv := make([]byte, 12)
	sealed := must(t)(protocol.Marshal([]any{
		contentHeader, map[int][]byte{5: iv}, gcm.Seal(nil, iv, []byte(block), aad),
		[]any{[]any{keyHeader, map[int][]byte{-4: ek}, wrapped}},
	}))
	return &protocol.Bundle{Meta: meta, Sealed: sealed}
}

func must(t testing.TB) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		t.Helper()
		check(t, err)
		return b
	}
}
