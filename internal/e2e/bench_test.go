package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rss is what a process takes of memory, MB.
func rss(pid int) float64 {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	_, rest, _ := strings.Cut(string(data), "VmRSS:")
	kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	return kb * 1024 / 1e6
}

// BenchmarkMemory is what daemon, keeper, masker and plugin take when a hundred
// agents of 20 secrets each have had three runs.
func BenchmarkMemory(b *testing.B) {
	h := newHost(b)
	env := map[string]any{}
	for i := range 20 {
		env[fmt.Sprintf("SECRET_%d", i)] = ref(h.plane.CreateSecret(h.company, fmt.Sprintf("s%d", i), randomText()), "latest")
	}
	for i := range 100 {
		h.addAgent(fmt.Sprintf("agent-%02d", i), agent{command: "true", env: env, heartbeat: map[string]any{"intervalSec": 5}})
	}
	h.start()
	for b.Loop() {
		h.eventually("300 runs", func() bool { return h.runsDone() >= 300 })
	}
	s := h.status()
	b.ReportMetric(rss(s.PID), "daemon-MB")
	b.ReportMetric(rss(s.Keeper.PID), "keeper-MB")
	for _, p := range s.Plugins {
		if p.PID != 0 {
			b.ReportMetric(rss(p.PID), p.Type+"-MB")
		}
	}
	h.stop()
}

// BenchmarkRotation is the time from a rotation at the control plane to the new
// process of a service: by push, and by a heartbeat of 1 s.
func BenchmarkRotation(b *testing.B) {
	for name, push := range map[string]bool{"push": true, "interval": false} {
		b.Run(name, func(b *testing.B) {
			h := newHost(b)
			if !push {
				h.proxy.deaf = true
			}
			secret := h.plane.CreateSecret(h.company, "token", "first-token")
			h.addAgent("a", agent{command: "sh", args: []string{"-c", "echo x >> starts; exec sleep 300"}, env: map[string]any{"TOKEN": ref(secret, "latest")}, more: service()})
			h.start()
			h.eventually("it runs", func() bool { return len(h.starts()) == 1 })
			var took []time.Duration
			for n := 2; b.Loop(); n++ {
				time.Sleep(rand.N(time.Second)) // anywhere between two heartbeats
				began := time.Now()
				h.plane.Rotate(secret, fmt.Sprintf("token-%d", n))
				for len(h.starts()) < n {
					time.Sleep(time.Millisecond)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1000, "median-ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1000, "max-ms")
			if n := len(h.starts()); n != len(took)+1 {
				b.Errorf("%d starts of %d rotations", n, len(took))
			}
			h.stop()
		})
	}
}
