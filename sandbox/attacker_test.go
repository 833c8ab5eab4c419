package sandbox_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// beAttacker tries everything that reads another process, and prints for each
// attempt how it failed, or "" if it succeeded.
func beAttacker(target string) int {
	runtime.LockOSThread() // a tracer is a thread
	pid, err := strconv.Atoi(target)
	if err != nil {
		return 2
	}
	results := map[string]string{}
	try := func(what string, err error) {
		results[what] = ""
		if err != nil {
			results[what] = err.Error()
		}
	}
	for _, name := range []string{"mem", "environ", "maps", "auxv", "syscall", "fd/3"} {
		f, err := os.Open(procPath(pid, name))
		if err == nil && name != "mem" {
			_, err = f.Read(make([]byte, 1))
			if err == io.EOF {
				err = nil
			}
		}
		try("open "+name, err)
	}
	for _, name := range []string{"exe", "cwd", "fd/0"} {
		_, err := os.Readlink(procPath(pid, name))
		try("readlink "+name, err)
	}
	try("process_vm_readv", readv(pid))
	try("pidfd_getfd", getfd(pid))
	try("ptrace attach", attach(pid))
	try("ptrace seize", seize(pid))
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		return 1
	}
	return 0
}

func procPath(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

func readv(pid int) error {
	buf := make([]byte, 8)
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	// The address is nobody's: EFAULT means that the access itself is granted.
	_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 4096, Len: 8}}, 0)
	if err == unix.EFAULT {
		return nil
	}
	return err
}

func getfd(pid int) error {
	fd, err := unix.PidfdOpen(pid, unix.O_EXCL) // PIDFD_THREAD, Linux 6.9
	if err == unix.EINVAL {
		fd, err = unix.PidfdOpen(pid, 0)
	}
	if err != nil {
		return err
	}
	_, err = unix.PidfdGetfd(fd, 0, 0)
	return err
}

func attach(pid int) error {
	if err := unix.PtraceAttach(pid); err != nil {
		return err
	}
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(pid)
}

func seize(pid int) error {
	if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// attack has a process of the given user look into pid.
func (h *host) attack(t testing.TB, pid int, uid uint32) map[string]string {
	t.Helper()
	argv := publicSelf(t, h, roleAttacker, strconv.Itoa(pid))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr, cmd.Dir = asUser(uid), "/"
	out, err := cmd.Output()
	results := map[string]string{}
	if err := errors.Join(err, json.Unmarshal(out, &results)); err != nil {
		t.Fatalf("attacker: %v: %s", err, out)
	}
	return results
}
