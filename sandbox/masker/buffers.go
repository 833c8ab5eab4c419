package masker

import "golang.org/x/sys/unix"

// chunk is how much is read at once, in bytes: what a pipe holds.
const chunk = 64 << 10

// bufferSize has room for what was held back before it.
const bufferSize = chunk + maxHeld

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
	return locked(bufferSize)
}

func (b *buffers) put(buf []byte) {
	select {
	case b.idle <- buf:
	default:
		unlock(buf)
	}
}

// locked returns memory of its own, out of swap if the limit allows it.
func locked(size int) []byte {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return make([]byte, size)
	}
	_ = unix.Mlock(mem)
	return mem
}

// unlock wipes and returns what locked gave, all of it.
func unlock(mem []byte) {
	mem = mem[:cap(mem)]
	clear(mem)
	_ = unix.Munmap(mem) // EINVAL for memory of the heap
}
