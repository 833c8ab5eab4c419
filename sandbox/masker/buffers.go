package masker

import "golang.org/x/sys/unix"

// chunk is the size of a buffer in bytes: that of a pipe.
const chunk = 64 << 10

// idle is how many buffers are kept while nobody needs them.
const idle = 8

// buffers are shared by all runs. Output may hold values until it is masked, so
// they lie apart from the heap, and out of swap as far as RLIMIT_MEMLOCK goes.
type buffers struct{ idle chan []byte }

func newBuffers() buffers { return buffers{make(chan []byte, idle)} }

func (b *buffers) get() []byte {
	select {
	case buf := <-b.idle:
		return buf
	default:
	}
	buf, err := unix.Mmap(-1, 0, chunk, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, chunk)
	}
	_ = unix.Mlock(buf)
	return buf
}

func (b *buffers) put(buf []byte) {
	select {
	case b.idle <- buf:
	default:
		_ = unix.Munmap(buf) // EINVAL for one of the heap
	}
}
