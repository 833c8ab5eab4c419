package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

var resources = map[string]int{"nofile": unix.RLIMIT_NOFILE, "core": unix.RLIMIT_CORE, "nproc": unix.RLIMIT_NPROC, "fsize": unix.RLIMIT_FSIZE}

// raise takes one more than it was given.
func raise(name string) error {
	var limit unix.Rlimit
	if err := unix.Prlimit(0, resources[name], nil, &limit); err != nil {
		return err
	}
	limit.Max++
	limit.Cur = limit.Max
	return unix.Prlimit(0, resources[name], &limit, nil)
}

func openMany(n string) error {
	for range number(n) {
		file, err := os.Open("/dev/null")
		if err != nil {
			return err
		}
		defer file.Close()
	}
	return nil
}

func forkMany(n string) error {
	for range number(n) {
		child := exec.Command("/bin/sleep", "60")
		if err := child.Start(); err != nil {
			return err
		}
		defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	}
	return nil
}

func bigFile(n string) error {
	path := filepath.Join(os.Getenv("TMPDIR"), "big")
	defer os.Remove(path)
	return os.WriteFile(path, make([]byte, number(n)), 0o600)
}

// dumpCore aborts a child that asks for a core before, as far as it may.
func dumpCore(string) error {
	child := exec.Command("/proc/self/exe", "abort")
	_ = child.Run()
	status, ok := child.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case !ok || !status.Signaled():
		return errors.New("it did not die of a signal")
	case !status.CoreDump():
		return fmt.Errorf("%w: no core", unix.EPERM)
	}
	return nil
}

func abort() {
	var limit unix.Rlimit
	_ = unix.Prlimit(0, unix.RLIMIT_CORE, nil, &limit)
	for _, high := range []uint64{unix.RLIM_INFINITY, limit.Max} {
		_ = unix.Prlimit(0, unix.RLIMIT_CORE, &unix.Rlimit{Cur: high, Max: high}, nil)
	}
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	_ = unix.Chdir(os.Getenv("TMPDIR")) // where it may be written
	debug.SetTraceback("crash")
	panic("core")
}

// inherited reads a file that came with this process as a descriptor.
func inherited(path string) error {
	for fd := 3; fd < 1024; fd++ { // the Go runtime has files of its own
		name := "/proc/self/fd/" + strconv.Itoa(fd)
		if file, err := os.Readlink(name); err != nil || file != path {
			continue
		}
		if n, err := unix.Pread(fd, make([]byte, 16), 0); err == nil && n > 0 {
			return nil
		}
	}
	return fmt.Errorf("%w: it is not open", unix.EACCES)
}

// setuid reads a file by way of a setuid copy of this program.
func setuid(programAndFile string) error {
	program, file, _ := strings.Cut(programAndFile, ",")
	out, err := exec.Command(program, "read", file).Output()
	if err != nil {
		return err
	}
	if text := strings.TrimSpace(string(out)); text != "done" {
		return errors.New(text)
	}
	return nil
}

// bomb forks as fast as it can, and so does all that it forks.
func bomb(marker string) error {
	for {
		_, _ = syscall.ForkExec("/proc/self/exe", []string{"attacker", "bomb", marker}, &syscall.ProcAttr{Files: []uintptr{0, 1, 2}})
	}
}

// fill makes in TMPDIR what is tedious to remove, and what must not be removed.
func fill(outside string) error {
	tmp := os.Getenv("TMPDIR")
	for i := range 20_000 {
		fd, err := unix.Open(filepath.Join(tmp, strconv.Itoa(i)), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		_ = unix.Close(fd)
	}
	closed := filepath.Join(tmp, "closed")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(closed, "below"), 0o700), os.WriteFile(filepath.Join(closed, "below", "file"), nil, 0),
		os.Symlink(outside, filepath.Join(closed, "link")), os.Symlink(outside, filepath.Join(tmp, "link")),
		unix.Mkfifo(filepath.Join(tmp, "fifo"), 0),
		os.Chmod(filepath.Join(closed, "below"), 0), os.Chmod(closed, 0), os.Chdir(tmp),
	); err != nil {
		return err
	}
	for range 1500 { // far beyond PATH_MAX
		if err := errors.Join(os.Mkdir("deep", 0o700), os.Chdir("deep")); err != nil {
			return err
		}
	}
	return os.Chdir("/")
}
