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
	"unsafe"

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
	if _, failure := masker.Confine(); failure != nil {
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

func attacks(parent int) map[string][7]uintptr {
	p, root, buf := uintptr(parent), uintptr(unsafe.Pointer(&[]byte("/\x00")[0])), uintptr(unsafe.Pointer(&make([]byte, 4096)[0]))
	program, none := uintptr(unsafe.Pointer(&[]byte("/bin/true\x00")[0])), uintptr(unsafe.Pointer(new([2]uintptr)))
	cwd := ^uintptr(99) // AT_FDCWD, -100
	return map[string][7]uintptr{
		"open":              {unix.SYS_OPENAT, cwd, root, unix.O_RDONLY},
		"openat2":           {unix.SYS_OPENAT2, cwd, root, buf, 24},
		"open by handle":    {unix.SYS_OPEN_BY_HANDLE_AT, 1, buf, 0},
		"stat":              {unix.SYS_STATX, cwd, root, 0, 0, buf},
		"chdir":             {unix.SYS_CHDIR, root},
		"make a file":       {unix.SYS_MKDIRAT, cwd, root, 0},
		"remove a file":     {unix.SYS_UNLINKAT, cwd, root, 0},
		"rename":            {unix.SYS_RENAMEAT2, cwd, root, cwd, root, 0},
		"link":              {unix.SYS_LINKAT, cwd, root, cwd, root, 0},
		"chmod":             {unix.SYS_FCHMODAT, cwd, root, 0},
		"mode of the log":   {unix.SYS_FCHMOD, 1, 0o777},
		"cut the log":       {unix.SYS_FTRUNCATE, 1, 0},
		"rewrite the log":   {unix.SYS_LSEEK, 1, 0, 0},
		"and at an offset":  {unix.SYS_PWRITE64, 1, buf, 1, 0},
		"map the log":       {unix.SYS_MMAP, 0, 4096, unix.PROT_READ | unix.PROT_EXEC, unix.MAP_SHARED, 1},
		"executable memory": {unix.SYS_MPROTECT, buf &^ 4095, 4096, unix.PROT_EXEC},
		"memory file":       {unix.SYS_MEMFD_CREATE, program, 0},
		"unix socket":       {unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0},
		"inet socket":       {unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0},
		"netlink":           {unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0},
		"connect":           {unix.SYS_CONNECT, 1, buf, 16},
		"send":              {unix.SYS_SENDTO, 1, buf, 1, 0, buf, 16},
		"execute":           {unix.SYS_EXECVE, program, none, none},
		"execute a file":    {unix.SYS_EXECVEAT, cwd, program, none, none, 0},
		"fork":              {unix.SYS_CLONE, uintptr(unix.SIGCHLD)},
		"fork anew":         {unix.SYS_CLONE3, buf, 88},
		"kill":              {unix.SYS_KILL, p, 0},
		"kill a thread":     {unix.SYS_TGKILL, p, p, 0},
		"kill a thread, 2":  {unix.SYS_TKILL, p, 0},
		"pidfd":             {unix.SYS_PIDFD_OPEN, p, 0},
		"take a descriptor": {unix.SYS_PIDFD_GETFD, 1, 0, 0},
		"ptrace":            {unix.SYS_PTRACE, unix.PTRACE_SEIZE, p},
		"read memory":       {unix.SYS_PROCESS_VM_READV, p, buf, 1, buf, 1, 0},
		"write memory":      {unix.SYS_PROCESS_VM_WRITEV, p, buf, 1, buf, 1, 0},
		"become dumpable":   {unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1},
		"raise limits":      {unix.SYS_PRLIMIT64, 0, unix.RLIMIT_CORE, buf, 0},
		"limits of another": {unix.SYS_PRLIMIT64, p, unix.RLIMIT_CPU, buf, 0},
		"become root":       {unix.SYS_SETRESUID, 0, 0, 0},
		"new user":          {unix.SYS_UNSHARE, unix.CLONE_NEWUSER},
		"mount":             {unix.SYS_MOUNT, root, root, 0, 0, 0},
		"key rings":         {unix.SYS_KEYCTL, 0, 0},
		"bpf":               {unix.SYS_BPF, 0, buf, 16},
		"io_uring":          {unix.SYS_IO_URING_SETUP, 1, buf},
		"userfaultfd":       {unix.SYS_USERFAULTFD, 0},
		"another filter":    {unix.SYS_SECCOMP, 0, 0, 0},
		"another ruleset":   {unix.SYS_LANDLOCK_RESTRICT_SELF, 1, 0},
		"signal handlers":   {unix.SYS_RT_SIGACTION, uintptr(unix.SIGTERM), 0, 0, 8},
		"wait":              {unix.SYS_WAIT4, ^uintptr(0), 0, 0, 0},
		"duplicate":         {unix.SYS_FCNTL, 1, unix.F_DUPFD, 100},
		"signals on input":  {unix.SYS_FCNTL, 0, unix.F_SETOWN, p},
		"terminal input":    {unix.SYS_IOCTL, 0, unix.TIOCSTI, buf},
		"move bytes unseen": {unix.SYS_SPLICE, 0, 0, 1, 0, 1, 0},
		"random":            {unix.SYS_GETRANDOM, buf, 1, 0},
		"x32":               {unix.SYS_GETPID | 0x40000000},
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
