package masker_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox/masker"
)

// Roles of the test binary.
const (
	roleAttacker   = "attacker"
	roleLandlocked = "landlocked"
)

// asRole runs the test binary in a role, and returns what it printed.
func asRole(t *testing.T, role string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, role)
	cmd.Env = []string{"GOMAXPROCS=2"}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), unix.ENOTSUP.Error()) {
		skip(t, "this test was built with cgo")
	}
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	return string(out)
}

// TestAttack: who takes over a masker has what it was given, and nothing else.
func TestAttack(t *testing.T) {
	out := asRole(t, roleAttacker)
	if !strings.HasSuffix(out, "the end\n") {
		t.Error("the attacker did not get through its list")
	}
	for line := range strings.Lines(out) {
		if line != "the end\n" {
			t.Error("possible: ", line)
		}
	}
}

// beAttacker prints what it could do, on several threads.
func beAttacker() int {
	parent := os.Getppid()
	if _, failure := masker.Confine(""); failure != nil {
		fmt.Println(failure)
		return 1
	}
	onThreads(func() {
		for name, x := range attacks(parent) {
			if _, _, errno := unix.Syscall6(x[0], x[1], x[2], x[3], x[4], x[5], x[6]); errno != unix.EPERM {
				fmt.Println(name, errno)
			}
		}
	})
	fmt.Println("the end")
	return 0
}

// onThreads runs f on several threads at once, old ones and new ones.
func onThreads(f func()) {
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			runtime.LockOSThread() // not unlocked: the thread ends
			f()
		})
	}
	wg.Wait()
}

// attacks are system calls with arguments that are wrong: the filter answers
// before the kernel looks at them. One that is let through does no harm, and
// fails otherwise than with EPERM.
func attacks(parent int) map[string][7]uintptr {
	const bad = ^uintptr(0) // no descriptor, no pid, no address, no command
	p := uintptr(parent)
	return map[string][7]uintptr{
		"open":              {unix.SYS_OPENAT, bad, 0, unix.O_RDONLY},
		"openat2":           {unix.SYS_OPENAT2, bad, 0, 0, 0},
		"open by handle":    {unix.SYS_OPEN_BY_HANDLE_AT, bad, 0, bad},
		"stat":              {unix.SYS_STATX, bad, 0, bad, 0, 0},
		"chdir":             {unix.SYS_CHDIR, 0},
		"make a directory":  {unix.SYS_MKDIRAT, bad, 0, 0},
		"remove a file":     {unix.SYS_UNLINKAT, bad, 0, bad},
		"rename":            {unix.SYS_RENAMEAT2, bad, 0, bad, 0, bad},
		"link":              {unix.SYS_LINKAT, bad, 0, bad, 0, bad},
		"chmod":             {unix.SYS_FCHMODAT, bad, 0, 0},
		"mode of a log":     {unix.SYS_FCHMOD, bad, 0},
		"cut a log":         {unix.SYS_FTRUNCATE, bad, 0},
		"rewrite a log":     {unix.SYS_LSEEK, bad, 0, 0},
		"and at an offset":  {unix.SYS_PWRITE64, bad, 0, 1, 0},
		"map code":          {unix.SYS_MMAP, 0, 0, unix.PROT_READ | unix.PROT_EXEC, 0, bad},
		"executable memory": {unix.SYS_MPROTECT, 1, 1, unix.PROT_EXEC},
		"memory file":       {unix.SYS_MEMFD_CREATE, 0, bad},
		"socket":            {unix.SYS_SOCKET, bad, 0, 0},
		"connect":           {unix.SYS_CONNECT, bad, 0, 0},
		"send":              {unix.SYS_SENDTO, bad, 0, 0, 0, 0, 0},
		"execute":           {unix.SYS_EXECVE, 0, 0, 0},
		"execute a file":    {unix.SYS_EXECVEAT, bad, 0, 0, 0, bad},
		"a process":         {unix.SYS_CLONE, unix.CLONE_THREAD}, // no thread without CLONE_SIGHAND
		"a process, clone3": {unix.SYS_CLONE3, 0, 0},
		"kill":              {unix.SYS_KILL, p, bad},
		"kill a thread":     {unix.SYS_TGKILL, p, p, bad},
		"kill a thread, 2":  {unix.SYS_TKILL, p, bad},
		"pidfd":             {unix.SYS_PIDFD_OPEN, bad, 0},
		"take a descriptor": {unix.SYS_PIDFD_GETFD, bad, 0, 0},
		"ptrace":            {unix.SYS_PTRACE, unix.PTRACE_SEIZE, bad},
		"read memory":       {unix.SYS_PROCESS_VM_READV, p, 0, 0, 0, 0, bad},
		"write memory":      {unix.SYS_PROCESS_VM_WRITEV, p, 0, 0, 0, 0, bad},
		"become dumpable":   {unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, bad},
		"limits":            {unix.SYS_PRLIMIT64, 0, bad, 0, 0},
		"new namespaces":    {unix.SYS_UNSHARE, unix.CLONE_THREAD | 1},
		"key rings":         {unix.SYS_KEYCTL, bad, 0},
		"io_uring":          {unix.SYS_IO_URING_SETUP, 0, 0},
		"another filter":    {unix.SYS_SECCOMP, bad, 0, 0},
		"signal handlers":   {unix.SYS_RT_SIGACTION, bad, 0, 0, 8},
		"wait":              {unix.SYS_WAIT4, bad, 0, bad, 0},
		"duplicate":         {unix.SYS_FCNTL, bad, unix.F_DUPFD, 0},
		"signals on input":  {unix.SYS_FCNTL, bad, unix.F_SETOWN, 0},
		"terminal input":    {unix.SYS_IOCTL, bad, unix.TIOCSTI, 0},
		"move bytes unseen": {unix.SYS_SPLICE, bad, 0, bad, 0, 1, 0},
		"random":            {unix.SYS_GETRANDOM, 0, 0, bad},
	}
}

// TestLandlockOnEveryThread: without the filter in front of it.
func TestLandlockOnEveryThread(t *testing.T) {
	if out := asRole(t, roleLandlocked); strings.HasPrefix(out, "no Landlock") {
		skip(t, out)
	} else if out != "the end\n" {
		t.Error(out)
	}
}

func beLandlocked() int {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0)
	abi, err := masker.Landlock()
	if errno != 0 || err != nil || abi == 0 {
		fmt.Println("no Landlock:", errno, err)
		return 0
	}
	onThreads(func() {
		for _, path := range []string{"/", "/etc/passwd", "/proc/self/status", "/dev/null", os.Args[0]} {
			if fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0); err != unix.EACCES {
				fmt.Println("open", path, fd, err)
			}
		}
		if err := unix.Connect(socket, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}); abi >= 4 && err != unix.EACCES {
			fmt.Println("connect", err)
		}
		if err := unix.Kill(os.Getppid(), 0); abi >= 7 && err != unix.EPERM {
			fmt.Println("kill", err)
		}
	})
	fmt.Println("the end")
	return 0
}
