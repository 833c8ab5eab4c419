package tree

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestMain also makes the test binary the trees to be killed: argv[1] says which.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "reaper":
			os.Exit(beReaper(os.Args[2:], true))
		case "hoarder": // never reaps
			os.Exit(beReaper(os.Args[2:], false))
		case "killer":
			root, _ := strconv.Atoi(os.Args[2])
			fmt.Println(Kill(root, nil))
			os.Exit(0)
		case "hostile":
			beHostile(os.Args[2])
		}
	}
	os.Exit(m.Run())
}

const ordinaryUID = 54321

// beReaper stands for the keeper, or for an agent that leads a tree: a child
// subreaper that forks no more.
func beReaper(argv []string, reaps bool) int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = os.Stdout.Close() // so that whoever waits for the tree's output sees its end
	for reaps {
		if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
			break
		}
	}
	_, _ = os.Stdin.Read(make([]byte, 1))
	return 0
}

// room is for how many processes a bomb may have: enough to outrun a walk. More
// would show nothing else and starve the tests beside this one, because each
// has a session, and so a share of the machine, of its own (sched(7), autogroup).
const room = 300

// limit leaves room. As root it takes a uid that nobody else has: the limit
// counts all threads of a user and does not hold for root.
func limit() error {
	n := uint64(room)
	if uid := os.Geteuid(); uid == 0 {
		uid = 1<<20 + os.Getpid()
		if err := syscall.Setresuid(uid, uid, uid); err != nil {
			return err
		}
	} else {
		n += threads(uid)
	}
	return unix.Prlimit(0, unix.RLIMIT_NPROC, &unix.Rlimit{Cur: n, Max: n}, nil)
}

// threads counts what uid runs.
func threads(uid int) (n uint64) {
	tasks, _ := filepath.Glob("/proc/[0-9]*/task/*")
	for _, task := range tasks {
		var st unix.Stat_t
		if unix.Stat(task, &st) == nil && int(st.Uid) == uid {
			n++
		}
	}
	return n
}

// fork is the bare system call: the child has this thread alone, so it may use
// nothing but other bare calls.
func fork() uintptr {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return ^uintptr(0)
	}
	return pid
}

func pause() {
	for {
		unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// run is never where it was.
func run() {
	for {
		if fork() != 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
	}
}

func bomb() {
	for {
		if fork() == 0 {
			unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0)
		}
	}
}

func beHostile(how string) {
	if err := limit(); err != nil {
		panic(err)
	}
	switch how {
	case "runner":
		fmt.Println("up")
		run()
	case "bomb":
		fmt.Println("up")
		bomb()
	case "runner, bombed":
		fmt.Println("up")
		if fork() == 0 {
			run()
		}
		bomb()
	case "continuer": // wakes whoever was stopped
		// In a group of its own: go test's has the other packages' processes, and what
		// their tests stop must stay stopped.
		if err := unix.Setpgid(0, 0); err != nil {
			panic(err)
		}
		up := []byte("up\n")
		for range 6 {
			fork()
		}
		unix.RawSyscall(unix.SYS_WRITE, 1, uintptr(unsafe.Pointer(&up[0])), uintptr(len(up)))
		for {
			unix.RawSyscall(unix.SYS_KILL, 0, uintptr(unix.SIGCONT), 0)
		}
	case "headless": // a zombie by the looks of it
		runtime.LockOSThread()
		go func() {
			fmt.Println("up")
			if fork() == 0 {
				pause()
			}
			pause()
		}()
		if unix.Gettid() != os.Getpid() {
			panic("not the first thread")
		}
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
}
