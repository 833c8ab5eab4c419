package sandbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/protocol"
	"github.com/agent-launcher/agent-launcher/sandbox"
	"github.com/agent-launcher/agent-launcher/sandbox/tree"
)

// variant is one way to get from values to an agent's main.
type variant struct {
	name string
	run  func(b *testing.B) time.Duration
}

// BenchmarkLaunch measures from the sealed bundle in memory to the first
// instruction of the agent's main, beside os/exec of the same program with the
// same values in the clear. The variants take turns, so that whatever else the
// machine does hits all of them; the medians and their ratios are reported.
func BenchmarkLaunch(b *testing.B) {
	h := newHost(b)
	child := compile(b)
	one, twenty := benchSecrets(1), benchSecrets(20)
	variants := []variant{
		{"exec", func(b *testing.B) time.Duration { return osExec(b, child, one) }},
		{"1", h.launcher(child, h.seal(b, one), unconfined())},
		{"20", h.launcher(child, h.seal(b, twenty), unconfined())},
		{"confined", h.launcher(child, h.seal(b, one), sandbox.Policy{Profile: sandbox.ProfileWorkspace})},
	}
	times := make([][]time.Duration, len(variants))
	for b.Loop() {
		for i, v := range variants {
			times[i] = append(times[i], v.run(b))
		}
	}
	median := func(i int) float64 {
		slices.Sort(times[i])
		return float64(times[i][len(times[i])/2].Nanoseconds()) / 1000
	}
	b.ReportMetric(median(0), "us/os-exec")
	b.ReportMetric(median(1), "us/1-secret")
	b.ReportMetric(median(2), "us/20-secrets")
	b.ReportMetric(median(3), "us/1-confined")
	b.ReportMetric(median(1)/median(0), "x-os-exec")
	b.ReportMetric(median(3)/median(1), "x-off") // everything on, beside profile off
	b.ReportMetric(median(2)/median(1), "x-1-secret")
}

func benchSecrets(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out[fmt.Sprintf("SECRET_%02d", i)] = strings.Repeat("v", 40)
	}
	return out
}

// compile builds the static C child: its start costs next to nothing.
func compile(b *testing.B) string {
	b.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		b.Skip("needs gcc, to compile the child")
	}
	path := filepath.Join(publicDir(b), "child")
	if out, err := exec.Command("gcc", "-O2", "-static", "-o", path, "testdata/child.c").CombinedOutput(); err != nil {
		b.Skipf("gcc cannot link a static program: %v: %s", err, out)
	}
	return path
}

func (h *host) launcher(child string, bundle *protocol.Bundle, policy sandbox.Policy) func(*testing.B) time.Duration {
	dir := filepath.Dir(child)
	spec := sandbox.LaunchSpec{Agent: "bench", Argv: []string{child}, Dir: dir, Env: map[string]string{},
		Places: sandbox.Places{Dir: dir, Home: dir, Tmp: dir}}
	return func(b *testing.B) time.Duration {
		began := monotonic(b)
		p, err := h.Start(spec, bundle, policy)
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Release(); err != nil {
			b.Fatal(err)
		}
		out, err := io.ReadAll(p.Output)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
		p.Forget()
		p.Output.Close()
		return mainBegan(b, out) - began
	}
}

func osExec(b *testing.B, child string, secrets map[string]string) time.Duration {
	cmd := exec.Command(child)
	cmd.Dir, cmd.Env = "/", []string{}
	for name, value := range secrets {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	began := monotonic(b)
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	return mainBegan(b, out) - began
}

func mainBegan(b *testing.B, out []byte) time.Duration {
	ns, err := strconv.ParseInt(string(bytes.TrimSpace(out)), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(ns)
}

// monotonic is CLOCK_MONOTONIC, which the child reads, too.
func monotonic(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkStageMemory reports the peak resident set of a stage that has done
// all its work and stands before execve, as the kernel counts it (VmHWM).
func BenchmarkStageMemory(b *testing.B) {
	h := newHost(b)
	for _, test := range []struct {
		name    string
		secrets map[string]string
	}{
		{"1 secret", benchSecrets(1)},
		{"20 secrets", benchSecrets(20)},
		{"1 MiB", mebibyte()},
	} {
		b.Run(test.name, func(b *testing.B) {
			spec := encode(b, rawSpec(h.seal(b, test.secrets)))
			peak := 0.0
			for b.Loop() {
				r := h.startRaw(b, spec, true)
				r.hold(b, nil)
				peak = max(peak, r.peakRSS(b))
				r.end()
			}
			b.ReportMetric(peak, "KiB-peak")
		})
	}
}

func mebibyte() map[string]string {
	out := map[string]string{}
	for i := range 8 {
		out[fmt.Sprintf("BIG_%d", i)] = strings.Repeat("v", 1<<17-100)
	}
	return out
}

// BenchmarkKeeperMemory reports the resident sets of keeper and masker with a
// hundred agents that run.
func BenchmarkKeeperMemory(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root, to see the keeper's children")
	}
	h := newHost(b)
	for range 100 {
		p, err := h.Start(command("/bin/sleep", "1000"), nil, unconfined())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(p.Cancel)
		if err := p.Release(); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		_ = h.Host()
	}
	calm := time.NewTimer(2 * time.Second) // then the keeper has given back what the burst needed
	<-calm.C
	for name, pid := range map[string]int{"keeper": h.PID(), "masker": h.masker(b)} {
		b.ReportMetric(rss(b, pid, "VmRSS"), "KiB-"+name)
		b.ReportMetric(rss(b, pid, "RssAnon"), "KiB-anon-"+name) // the rest is the program's file, shared by both
	}
}

// masker is the pid of the keeper's masker.
func (h *host) masker(t testing.TB) int {
	t.Helper()
	below, err := tree.Below(h.PID())
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range below {
		if argv, err := os.ReadFile(procPath(pid, "cmdline")); err == nil && strings.HasPrefix(string(argv), "agent-launcher-stage\x00masker") {
			return pid
		}
	}
	t.Fatal("the keeper has no masker")
	return 0
}

func rss(b *testing.B, pid int, field string) float64 {
	b.Helper()
	data, err := os.ReadFile(procPath(pid, "status"))
	if err != nil {
		b.Fatal(err)
	}
	kb, err := strconv.ParseFloat(strings.TrimSuffix(procStatus(string(data))[field], " kB"), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kb
}
