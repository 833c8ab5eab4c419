package tree

import (
	"bytes"
	"errors"
	"strconv"

	"golang.org/x/sys/unix"
)

// process is one line of /proc/PID/stat.
type process struct {
	pid, ppid int
	state     byte
	threads   int
	start     uint64 // clock ticks (10 ms) since boot; with the pid it names a process for ever
}

// alive: a zombie is dead, unless only its first thread ended and the others
// run on. They can fork.
func (p *process) alive() bool { return p.state != 'Z' && p.state != 'X' || p.threads > 1 }

// Start returns when a process started, in clock ticks since boot. Number and
// start together name one process until the next boot.
func Start(pid int) (uint64, error) {
	p, err := read(pid)
	return p.start, err
}

var errStat = errors.New("cannot read a process: unknown format of /proc/PID/stat")

func read(pid int) (process, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return process{}, err
	}
	defer unix.Close(fd)
	var line [2048]byte // 52 numbers of up to 20 digits and a name of up to 64 bytes
	n, err := unix.Read(fd, line[:])
	if err != nil {
		return process{}, err
	}
	return parse(line[:n])
}

// Fields after the name, proc_pid_stat(5), whose numbers begin with 1.
const (
	fieldState   = 3
	fieldParent  = 4
	fieldThreads = 20
	fieldStart   = 22
)

// parse skips the name by its last parenthesis: the process chooses the name,
// spaces, newlines, parentheses and all.
func parse(line []byte) (process, error) {
	number, _, named := bytes.Cut(line, []byte(" ("))
	end := bytes.LastIndexByte(line, ')')
	if !named || end < 0 {
		return process{}, errStat
	}
	fields := bytes.Fields(line[end+1:])
	if len(fields) <= fieldStart-fieldState {
		return process{}, errStat
	}
	field := func(i int) string { return string(fields[i-fieldState]) }
	pid, err1 := strconv.Atoi(string(number))
	ppid, err2 := strconv.Atoi(field(fieldParent))
	threads, err3 := strconv.Atoi(field(fieldThreads))
	start, err4 := strconv.ParseUint(field(fieldStart), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || len(field(fieldState)) != 1 {
		return process{}, errStat
	}
	return process{pid: pid, ppid: ppid, state: field(fieldState)[0], threads: threads, start: start}, nil
}
