package protocol_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/protocol"
)

func TestKeyLines(t *testing.T) {
	public, private := hostKey(t)
	line := protocol.FormatKey(protocol.PublicKeyPrefix, public)
	for _, l := range []string{line, line + "\n", " " + line + "\r\n"} {
		if got, err := protocol.ParseKey(protocol.PublicKeyPrefix, l, protocol.PublicKeySize); err != nil || !bytes.Equal(got, public) {
			t.Errorf("%.40q: %v", l, err)
		}
	}
	// A zero seed ends in A: of the last character 4 bits count, and B holds the others too.
	loose := protocol.SigningKeyPrefix + strings.Repeat("A", 42) + "B"
	secret := strings.TrimPrefix(private, protocol.PrivateKeyPrefix)
	for _, c := range []struct{ prefix, line, want string }{
		{protocol.PublicKeyPrefix, private, "this is a private key"},
		{protocol.PublicKeyPrefix, " " + private, "not a key line"},
		{protocol.PublicKeyPrefix, secret, "not a key line"},
		{protocol.PublicKeyPrefix, protocol.PublicKeyPrefix + secret, "32 bytes, want 1216"},
		{protocol.PublicKeyPrefix, "", "not a key line"},
		{protocol.PublicKeyPrefix, protocol.FormatKey(protocol.PublicKeyPrefix, public[1:]), "1215 bytes, want 1216"},
		{protocol.PublicKeyPrefix, line + "=", "not base64url"},
		{protocol.PublicKeyPrefix, line[:60] + "\n" + line[60:], "not base64url"},
		{protocol.SigningKeyPrefix, line, "not a key line"},
		{protocol.SigningKeyPrefix, loose, "not base64url"},
		{protocol.SigningKeyPrefix, protocol.SigningKeyPrefix + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32)), "not base64url"},
	} {
		_, err := protocol.ParseKey(c.prefix, c.line, map[string]int{protocol.PublicKeyPrefix: 1216, protocol.SigningKeyPrefix: 32}[c.prefix])
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%.60q: %v, want %s", c.line, err, c.want)
		}
	}
}
