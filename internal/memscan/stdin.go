package memscan

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// mask hides canaries on their way to the command, so that neither the pipe
// nor a buffer on either side holds a form that a scan would find.
const mask = 0xA5

// EncodeCanaries writes what DecodeCanaries reads: each canary as one line of
// hex, every byte masked.
func EncodeCanaries(canaries [][]byte) []byte {
	var out []byte
	for _, canary := range canaries {
		for _, b := range canary {
			out = hex.AppendEncode(out, []byte{b ^ mask})
		}
		out = append(out, '\n')
	}
	return out
}

// DecodeCanaries reads canaries from r, one a line: plain text, or masked as
// EncodeCanaries writes them.
func DecodeCanaries(r io.Reader, masked bool) ([][]byte, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("cannot read canaries: %v", err)
	}
	var canaries [][]byte
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		if masked {
			if line, err = unmask(line); err != nil {
				return nil, err
			}
		}
		canaries = append(canaries, line)
	}
	return canaries, nil
}

func unmask(line []byte) ([]byte, error) {
	out, err := hex.AppendDecode(nil, line)
	if err != nil {
		return nil, errors.New("cannot read canaries: a masked line is not hex")
	}
	for i := range out {
		out[i] ^= mask
	}
	return out, nil
}
