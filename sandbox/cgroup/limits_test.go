package cgroup

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLimits writes into a plain directory: not every host has these
// controllers in v2.
func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		limits Limits
		want   map[string]string
	}{
		"none":        {Limits{}, map[string]string{"memory.swap.max": "0"}},
		"memory":      {Limits{Memory: 1 << 30}, map[string]string{"memory.max": "1073741824", "memory.swap.max": "0", "memory.oom.group": "1"}},
		"pids":        {Limits{Pids: 64}, map[string]string{"pids.max": "64", "memory.swap.max": "0"}},
		"half a core": {Limits{CPU: 0.5}, map[string]string{"cpu.max": "50000 100000", "memory.swap.max": "0"}},
		"many cores":  {Limits{CPU: 16}, map[string]string{"cpu.max": "1600000 100000", "memory.swap.max": "0"}},
		"hardly any":  {Limits{CPU: 1e-9}, map[string]string{"cpu.max": "1000 100000", "memory.swap.max": "0"}},
	} {
		dir := t.TempDir()
		files := []string{"memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max", "cgroup.max.descendants", "cgroup.procs"}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		settings, err := test.limits.settings()
		if err != nil {
			t.Fatal(err)
		}
		r := Root{controllers: []string{"memory", "pids", "cpu"}}
		procs, err := r.fill(dir, settings)
		if err != nil {
			t.Fatal(err)
		}
		_ = procs.Close()
		for _, file := range files[:5] {
			if got, _ := os.ReadFile(filepath.Join(dir, file)); string(got) != test.want[file] {
				t.Errorf("%s: %s is %q, want %q", name, file, got, test.want[file])
			}
		}
	}
}

func TestLimitsWithoutSwap(t *testing.T) {
	s := noSwap()
	if err := s.write(t.TempDir()); err != nil {
		t.Errorf("a kernel without swap: %v", err)
	}
	s.optional = false
	if err := s.write(t.TempDir()); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestMakeRefuses(t *testing.T) {
	dir := t.TempDir()
	r := Root{dir: dir, missing: map[string]string{"memory": "why m", "pids": "why p", "cpu": "why c"}}
	for _, test := range []struct {
		name   string
		limits Limits
		want   string
	}{
		{"", Limits{}, "its name must have"},
		{"..", Limits{}, "its name must have"},
		{"a/b", Limits{}, "its name must have"},
		{"A", Limits{}, "its name must have"},
		{"a\n", Limits{}, "its name must have"},
		{"cgroup.procs", Limits{}, "its name must have"},
		{strings.Repeat("a", 65), Limits{}, "its name must have"},
		{"a", Limits{Memory: 1}, "cannot limit memory: why m"},
		{"a", Limits{Pids: 1}, "cannot limit pids: why p"},
		{"a", Limits{CPU: 1}, "cannot limit cpu: why c"},
		{"a", Limits{CPU: -1}, "not possible"},
		{"a", Limits{CPU: math.NaN()}, "not possible"},
		{"a", Limits{CPU: math.Inf(1)}, "not possible"},
		{"a", Limits{}, "no such file"}, // this is no cgroup: what was made goes
	} {
		g, err := r.Make(test.name, test.limits)
		if g != nil || err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q, %+v: %v", test.name, test.limits, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestEvents(t *testing.T) {
	for text, want := range map[string]bool{"populated 0\nfrozen 0\n": true, "populated 1\nfrozen 0\n": false, "frozen 1\npopulated 0\n": true} {
		if empty, err := parseEvents(text); empty != want || err != nil {
			t.Errorf("%q: %t, %v", text, empty, err)
		}
	}
	if _, err := parseEvents("frozen 0\n"); err == nil {
		t.Error("nothing about population is no error")
	}
}
