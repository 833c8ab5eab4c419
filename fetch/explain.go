package fetch

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/agent-launcher/agent-launcher/protocol"
)

// explain puts a failed exchange into words of this side. net/http quotes what
// it could not parse, and that may be a page, a terminal's escape sequence or
// the token sent back.
func explain(err error, timeout time.Duration) error {
	var op *net.OpError
	switch {
	case errors.Is(err, protocol.ErrMalformed):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no complete reply within %s", timeout)
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended before the reply was complete (EOF)")
	case errors.As(err, &op): // addresses and errno
		return op
	case isTLS(err): // what a certificate is for: note makes it printable
		return err
	}
	return fmt.Errorf("the answer is not HTTP, or its header exceeds %d bytes", maxHeader)
}

func isTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &certificate) || strings.HasPrefix(err.Error(), "tls: ")
}

// printable keeps a line for status and log short and free of everything but
// printable ASCII.
func printable(s string) string {
	const limit = 300 // bytes
	if len(s) > limit {
		s = s[:limit] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
