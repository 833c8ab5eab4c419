// Package lossy writes lines to a file that may take none for hours, such as a
// pipe that nobody reads, without ever making the caller wait.
package lossy

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// Limit is how many bytes of lines wait for the file: some thousand lines, the
// burst of a reload with a thousand bad files. As many again may be on their
// way in one write.
const Limit = 1 << 20

// Writer hands lines to a goroutine that writes them, all that wait at once.
// Lines that find the queue full are dropped and counted, and where they are
// missing a line says how many they were.
type Writer struct {
	to     io.Writer
	notice func(dropped int) []byte
	more   chan struct{} // capacity 1: there is something to write

	mu      sync.Mutex
	pending []byte
	dropped int
	idle    chan struct{} // closed when everything so far is written or lost
}

// New starts the goroutine, which lives as long as the process: a write that
// blocks cannot be taken back. notice makes the line that tells of dropped ones.
func New(to io.Writer, notice func(dropped int) []byte) *Writer {
	w := &Writer{to: to, notice: notice, more: make(chan struct{}, 1)}
	go w.loop()
	return w
}

// Write takes one line or several. It keeps a copy, never waits, and never
// fails.
func (w *Writer) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending)+len(lines) > Limit {
		w.dropped += count(lines)
	} else {
		w.tell() // it stands where the others would
		w.pending = append(w.pending, lines...)
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	select {
	case w.more <- struct{}{}:
	default:
	}
	return len(lines), nil
}

// Flush waits until everything is written, at most for patience. It reports
// whether it is.
func (w *Writer) Flush(patience time.Duration) bool {
	w.mu.Lock()
	idle := w.idle
	w.mu.Unlock()
	if idle == nil {
		return true
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}

func (w *Writer) loop() {
	for range w.more {
		for batch := w.take(); len(batch) > 0; batch = w.take() {
			n, err := w.to.Write(batch)
			if err != nil { // a full disk, a reader that went: told once there is room again
				w.lose(batch[n:])
				break
			}
		}
	}
}

// tell puts the notice of what was dropped behind what waits.
func (w *Writer) tell() {
	if w.dropped > 0 {
		w.pending = append(w.pending, w.notice(w.dropped)...)
		w.dropped = 0
	}
}

// take returns what waits. With nothing left it tells who waits for that.
func (w *Writer) take() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell()
	batch := w.pending
	w.pending = nil
	if len(batch) == 0 {
		w.rest()
	}
	return batch
}

func (w *Writer) lose(lines []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dropped += count(lines)
	if len(w.pending) == 0 {
		w.rest()
	}
}

func (w *Writer) rest() {
	if w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

func count(lines []byte) int { return max(1, bytes.Count(lines, []byte("\n"))) }
