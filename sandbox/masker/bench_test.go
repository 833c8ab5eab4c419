package masker_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/masker"
)

// BenchmarkMask measures how fast output is searched for 20 values of 40 bytes,
// beside a plain copy of the same output, in the time of one processor. The two
// take turns; the ratio is what compares between machines.
func BenchmarkMask(b *testing.B) {
	text, to := []byte(letters(Chunk)), make([]byte, Chunk)
	m := masker.NewMask(printsOf(b, twenty()...))
	runtime.LockOSThread()
	var masking, copying time.Duration
	for b.Loop() {
		began := cpuTime(b)
		for range 16 {
			m.Feed(text, true, func(p []byte) { copy(to, p) })
		}
		between := cpuTime(b)
		for range 16 {
			copy(to, text)
		}
		masking, copying = masking+between-began, copying+cpuTime(b)-between
	}
	megabytes := float64(b.N) * 16 * Chunk / 1e6
	b.ReportMetric(megabytes/masking.Seconds(), "MB/s")
	b.ReportMetric(megabytes/copying.Seconds(), "MB/s-copy")
	b.ReportMetric(masking.Seconds()/copying.Seconds(), "x-copy")
}

// twenty are secrets as agents have them.
func twenty() (all []secret) {
	for i := range 20 {
		all = append(all, secret{fmt.Sprintf("SECRET_%02d", i), strings.ReplaceAll(letters(40), "\n", "_")})
	}
	return all
}

// cpuTime is what this thread has used.
func cpuTime(b *testing.B) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		b.Fatal(err)
	}
	return time.Duration(now.Nano())
}
