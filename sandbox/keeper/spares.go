package keeper

import (
	"os"

	"golang.org/x/sys/unix"
)

// spares are descriptors that are kept for the moment when there are no others:
// to kill an agent takes a few, and it must always be possible.
type spares []int

const spareFiles = 8

func (s *spares) fill() {
	for len(*s) < spareFiles {
		fd, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return // there are none: the next time, perhaps
		}
		*s = append(*s, fd)
	}
}

// free makes room for what f opens. f must close all of it.
func (s *spares) free(f func()) {
	closeAll(*s)
	*s = (*s)[:0]
	f()
	s.fill()
}
