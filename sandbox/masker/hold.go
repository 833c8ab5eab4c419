package masker

import (
	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// know reads the fingerprints of the run's values, before its first byte is
// read. Without them nothing comes out: the output could hold any value.
func (r *run) know() {
	defer unix.Close(r.prints)
	data, err := readAll(r.prints)
	if err == nil && len(data) == 0 { // no values
		return
	}
	if err == nil {
		var f *wire.Fingerprints
		if f, err = wire.DecodeFingerprints(data); err == nil {
			r.mask = newMask(f)
			if r.torn {
				r.mask.swallow(rest(f))
			}
			return
		}
	}
	r.errno = unix.EBADMSG
}

// rest is how much of a form may be in the pipe whose beginning an earlier masker
// took with it, in bytes; in base64 with its line breaks.
func rest(f *wire.Fingerprints) (bytes int) {
	for i := range f.Forms {
		bytes = max(bytes, int(f.Forms[i].Length)-1)
	}
	return withBreaks(bytes)
}

// withBreaks is how many bytes so many characters of base64 take in lines.
func withBreaks(n int) int { return n + 2*(n/wire.MinBase64Line+1) }

func readAll(fd int) (data []byte, err error) {
	for buf := make([]byte, 32<<10); len(data) <= wire.MaxFingerprints; {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case n <= 0:
			return data, nil
		default:
			data = append(data, buf[:n]...)
		}
	}
	return nil, unix.EFBIG
}

// hold keeps the bytes that the mask did not release. Most runs need no memory
// for it, nearly all others a page.
func (r *run) hold(data []byte) {
	if len(data) > cap(r.held) {
		page := unix.Getpagesize()
		r.drop()
		r.held = locked((len(data) + page - 1) / page * page)
	}
	if len(data) < len(r.held) {
		clear(r.held[len(data):])
	}
	r.held = append(r.held[:0], data...)
}

func (r *run) drop() {
	if r.held != nil {
		unlock(r.held)
		r.held = nil
	}
}

// end writes what was held back, or the mask in its place.
func (r *run) end() {
	if r.mask != nil {
		r.mask.feed(r.held, true, r.write)
		r.mask.prints.wipe()
	}
	r.drop()
}
