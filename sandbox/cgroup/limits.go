package cgroup

import (
	"errors"
	"math"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// setting is one write to one control file.
type setting struct {
	controller, file, text string
	optional               bool // the kernel may be built without it
}

// period of cpu.max in microseconds, the kernel's default. minQuota is the
// least that it takes.
const (
	period   = 100_000
	minQuota = 1_000
	maxCores = 1 << 20
)

// noSwap holds for every agent: its environment has values in it, which shall
// not be written to a disk.
func noSwap() setting {
	return setting{controller: "memory", file: "memory.swap.max", text: "0", optional: true}
}

func (l *Limits) settings() ([]setting, error) {
	var s []setting
	if l.Memory > 0 {
		s = append(s,
			setting{controller: "memory", file: "memory.max", text: strconv.FormatUint(l.Memory, 10)},
			setting{controller: "memory", file: "memory.oom.group", text: "1"})
	}
	if l.Pids > 0 {
		s = append(s, setting{controller: "pids", file: "pids.max", text: strconv.FormatUint(l.Pids, 10)})
	}
	if !(l.CPU >= 0 && l.CPU <= maxCores) { // NaN too
		return nil, errors.New("cannot limit cpu: the number of cores is not possible")
	}
	if l.CPU > 0 {
		quota := max(int64(math.Ceil(l.CPU*period)), minQuota)
		s = append(s, setting{controller: "cpu", file: "cpu.max", text: strconv.FormatInt(quota, 10) + " " + strconv.Itoa(period)})
	}
	return s, nil
}

func (s *setting) write(dir string) error {
	if s.optional && unix.Access(path.Join(dir, s.file), unix.F_OK) == unix.ENOENT {
		return nil
	}
	return write(dir, s.file, s.text)
}
