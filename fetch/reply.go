package fetch

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// errHostRefused is not signed, so it takes nothing away for good; but it may be
// true.
var errHostRefused = errors.New("the control plane refuses this host")

// checkHead says what is wrong with the head of a response. Of what the peer
// wrote it repeats the status number alone.
func checkHead(resp *http.Response) error {
	switch code := resp.StatusCode; {
	case code >= 300 && code < 400:
		return fmt.Errorf("the control plane answered with a redirect (%d): redirects are refused, correct controlPlane.url", code)
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return fmt.Errorf("%w (%d): was the token revoked or the host deleted? Enrol the host again, or put its current token into tokenFile", errHostRefused, code)
	case code == http.StatusNotFound:
		return fmt.Errorf("%w: it knows no such host (%d): check controlPlane.hostId and controlPlane.url", errHostRefused, code)
	case code != http.StatusOK:
		return fmt.Errorf("the control plane answered with status %d", code)
	}
	if t := resp.Header.Get("Content-Type"); t != protocol.ContentType {
		return fmt.Errorf("the control plane answered with %s, want %s: is a proxy in the way?", describeType(t), protocol.ContentType)
	}
	if resp.Header.Get("Content-Encoding") != "" {
		return errors.New("the control plane answered with an encoded body, which was not asked for: is a proxy in the way?")
	}
	if resp.ContentLength > protocol.MaxReplySize {
		return fmt.Errorf("the control plane answered with %d bytes, limit %d", resp.ContentLength, protocol.MaxReplySize)
	}
	return nil
}

// describeType names a content type that is well known, and no other.
func describeType(t string) string {
	for _, known := range []string{"text/html", "text/plain", "application/json"} {
		if rest, ok := strings.CutPrefix(t, known); ok && (rest == "" || rest[0] == ';') {
			return "content type " + known
		}
	}
	if t == "" {
		return "no content type"
	}
	return "another content type"
}

// replyPrefix begins every signed reply (protocol/sign): tag 18, an array of
// four, the protected header {1: -8} (EdDSA), an empty unprotected header.
const replyPrefix = "\xd2\x84\x43\xa1\x01\x27\xa0"

// readReply reads at most protocol.MaxReplySize bytes, whatever a
// Content-Length claims. It gives up at once on what cannot be a signed reply.
// That spares reading a proxy's page to its end, and it bounds memory: the
// COSE decoder builds the headers before it can verify them, and 64 MiB of
// nested arrays there would become 4 GiB (measured: 18 to 66 times the size).
func readReply(body io.Reader) ([]byte, error) {
	head := make([]byte, len(replyPrefix))
	n, err := io.ReadFull(body, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	if n < len(head) || string(head) != replyPrefix {
		return nil, fmt.Errorf("%w: not a signed reply", protocol.ErrMalformed)
	}
	whole := io.MultiReader(strings.NewReader(replyPrefix), body)
	return io.ReadAll(io.LimitReader(whole, protocol.MaxReplySize+1)) // one too many is for Verify to refuse
}
