package control

import (
	"io"
	"slices"
)

// maxAhead is how many pieces of up to 32 KiB are read ahead: more than the logs
// of two runs have.
const maxAhead = 2048

// copyAhead copies r to w, and reads on while w takes nothing: the daemon drops
// readers that do not read, and a pager that waits for a key is none of those.
func copyAhead(w io.Writer, r io.Reader) (rerr, werr error) {
	pieces, done := make(chan []byte, maxAhead), make(chan struct{})
	defer close(done)
	go func() {
		defer close(pieces)
		buf := make([]byte, 32<<10)
		for rerr == nil {
			var n int
			n, rerr = r.Read(buf)
			select {
			case pieces <- slices.Clone(buf[:n]):
			case <-done:
				return
			}
		}
	}()
	for piece := range pieces {
		if _, werr := w.Write(piece); werr != nil {
			return nil, werr
		}
	}
	if rerr == io.EOF {
		return nil, nil
	}
	return rerr, nil
}
