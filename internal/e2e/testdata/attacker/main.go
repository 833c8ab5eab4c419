// Command attacker is a hostile agent: it tries attacks and says how each
// went, "done" or why not, one a line. Its arguments are pairs of an attack and
// its target; or "obey" and a FIFO of them. Started as a plugin it is one.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

func main() {
	if isPlugin() {
		adapter.Serve(hostilePlugin{})
		return
	}
	args := append(os.Args[1:], "", "", "")
	switch args[0] {
	case "obey":
		obey(args[1])
	case "single":
		single(args[1])
	case "middle":
		middle(os.Args[2:])
	case "orphan":
		orphan(args[1], args[2])
	case "fugitive":
		fugitive()
	case "connect-and-die":
		connectAndDie(args[1])
	case "foreign":
		foreign()
	case "abort":
		abort()
	default:
		for i := 1; i+1 < len(os.Args); i += 2 {
			fmt.Println(try(os.Args[i], os.Args[i+1]))
		}
	}
}

// obey tries what it reads from a FIFO, an attack and its target on a line,
// until the FIFO ends.
func obey(fifo string) {
	signal.Ignore(unix.SIGXFSZ)
	file, err := os.Open(fifo)
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		attack, target, _ := strings.Cut(lines.Text(), " ")
		fmt.Println(try(attack, target))
	}
}

// try says how an attack went. One behind a colon goes that way.
func try(attack, target string) string {
	f := attacks()[attack]
	if way, behind, found := strings.Cut(attack, ":"); found {
		f = func(target string) error { return ways(way, behind, target) }
	}
	if f == nil {
		return "failed: no such attack: " + attack
	}
	if err := f(target); err != nil {
		return strings.ReplaceAll("failed: "+err.Error(), "\n", " ")
	}
	return "done"
}

// attacks is no variable because some try others.
func attacks() map[string]func(target string) error {
	return map[string]func(target string) error{
		"read":     func(path string) error { _, err := os.ReadFile(path); return err },
		"list":     func(path string) error { _, err := os.ReadDir(path); return err },
		"write":    func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"truncate": func(path string) error { return os.Truncate(path, 0) },
		"symlink":  symlink,
		"open-mem": func(pid string) error { _, err := os.Open("/proc/" + pid + "/mem"); return err },
		"ptrace": func(pid string) error {
			return call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(number(pid)), 0, 0)
		},
		"vm-readv":      vmReadv,
		"getfd":         getfd,
		"kill":          func(pid string) error { return unix.Kill(number(pid), 0) },
		"prlimit":       prlimit,
		"shm":           shm,
		"dial-unix":     func(path string) error { return dial("unix", path) },
		"dial-packet":   func(path string) error { return dial("unixpacket", path) },
		"dial-tcp":      func(addr string) error { return dial("tcp", addr) },
		"dial-abstract": func(name string) error { return dial("unix", "@"+name) },
		"listen-tcp": func(addr string) error {
			l, err := net.Listen("tcp", addr)
			if err == nil {
				err = l.Close()
			}
			return err
		},
		"udp": func(string) error { return call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0, 0) },
		// The kernel reads the lower half of the register alone.
		"unix-high-bits": func(string) error { return call(unix.SYS_SOCKET, unix.AF_UNIX|1<<32, unix.SOCK_STREAM, 0, 0) },
		"pair-dgram":     pairSend,
		"socketpair":     func(string) error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
		"user-namespace": func(string) error { // unshare needs a process of one thread, which Go has not
			cmd := exec.Command("/bin/true")
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
			return cmd.Run()
		},
		"mptcp": func(string) error {
			return call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP, 0)
		},
		"find-key": func(name string) error {
			_, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", name, 0)
			return err
		},
		"keyring":      func(string) error { _, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, true); return err },
		"foreign-call": foreignCall,
		"io-uring": func(string) error {
			var params [120]byte
			return call(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0, 0)
		},
		"raise": raise, "open-many": openMany, "fork-many": forkMany, "big-file": bigFile, "core": dumpCore,
		"fds": inherited, "setuid": setuid, "exit": func(code string) error { os.Exit(number(code)); return nil },
		"hello": hello, "hello-left": helloLeft, "control": askControl, "control-left": askControlLeft,
		"order": order, "look-at-stage": lookAtStage, "escape": escape, "bomb": bomb, "fill": fill,
		"tmp-path": func(string) error { return errors.New(os.Getenv("TMPDIR")) },
		"tmp":      func(string) error { return os.WriteFile(filepath.Join(os.Getenv("TMPDIR"), "x"), nil, 0o600) },
		"home":     func(string) error { return os.WriteFile(filepath.Join(os.Getenv("HOME"), "x"), nil, 0o600) },
		"sleep":    func(string) error { time.Sleep(time.Minute); return nil }, // the victim
		"cwd":      func(string) error { return os.WriteFile("x", nil, 0o600) },
	}
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func call(nr, a, b, c, d uintptr) error {
	if _, _, errno := unix.Syscall6(nr, a, b, c, d, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

// symlink plants a link in the workspace and goes through it.
func symlink(path string) error {
	link := "link-" + strconv.Itoa(os.Getpid())
	if err := os.Symlink(path, link); err != nil {
		return nil // not what is tested: "done" fails the test
	}
	defer os.Remove(link)
	_, err := os.ReadFile(link)
	return err
}

// vmReadv reads a byte that surely is mapped at the same place: the vdso moves,
// but the program's own text does not, and the target runs this program too.
func vmReadv(pid string) error {
	buf := make([]byte, 8)
	remote := []unix.RemoteIovec{{Base: 0x401000, Len: 8}}
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	_, err := unix.ProcessVMReadv(number(pid), local, remote, 0)
	return err
}

// prlimit sets a limit of another process, to what it is.
func prlimit(pid string) error {
	var limit unix.Rlimit
	if err := unix.Prlimit(number(pid), unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return err
	}
	return unix.Prlimit(number(pid), unix.RLIMIT_NOFILE, &limit, nil)
}

// shm makes memory that is the whole host's, and removes it.
func shm(string) error {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	if err != nil {
		return err
	}
	_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	return err
}

func getfd(pid string) error {
	fd, err := unix.PidfdOpen(number(pid), 0)
	if err != nil {
		return err
	}
	_, err = unix.PidfdGetfd(fd, 1, 0)
	return err
}

func dial(network, addr string) error {
	c, err := net.DialTimeout(network, addr, 5*time.Second)
	if err == nil {
		err = c.Close()
	}
	return err
}
