package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ways lead to an attack by a process that does not hang below the agent's own.
func ways(way, attack, target string) error {
	switch way {
	case "sibling": // who is cloned with CLONE_PARENT has our parent
		return reach(&syscall.SysProcAttr{Cloneflags: unix.CLONE_PARENT, Setsid: true}, "single", attack+" "+target)
	case "orphan": // after giving up what keeps orphans below us
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0); err != nil {
			return err
		}
		return reach(&syscall.SysProcAttr{Setsid: true}, "middle", "orphan", attack+" "+target)
	}
	return errors.New("no such way")
}

// reach starts this program as something else, and reads what all that comes
// of it has to say.
func reach(attr *syscall.SysProcAttr, args ...string) error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	err = spawn(attr, w, args...)
	_ = w.Close()
	if err != nil {
		return err
	}
	answer, _ := io.ReadAll(r)
	if text := strings.TrimSpace(string(answer)); text != "done" {
		return errors.New(text)
	}
	return nil
}

// spawn starts this program as something else and does not wait for it.
func spawn(attr *syscall.SysProcAttr, out *os.File, args ...string) error {
	_, err := os.StartProcess("/proc/self/exe", append([]string{"attacker"}, args...), &os.ProcAttr{
		Files: []*os.File{nil, out, out}, Sys: attr})
	return err
}

// middle starts a process and leaves it alone; it learns who did that.
func middle(args []string) {
	_ = spawn(&syscall.SysProcAttr{Setsid: true}, os.Stdout, append(args, strconv.Itoa(os.Getpid()))...)
}

// single is one attack by this process alone.
func single(arg string) {
	attack, target, _ := strings.Cut(arg, " ")
	fmt.Println(try(attack, target))
}

// orphan is one too, once its parent has ended.
func orphan(arg, parent string) {
	for os.Getppid() == number(parent) {
		_, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	}
	single(arg)
}

// escape starts processes that want to outlive the agent; marker is among their
// arguments.
func escape(marker string) error {
	signal.Ignore(unix.SIGTERM, unix.SIGHUP, unix.SIGINT)
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
	for _, attr := range []*syscall.SysProcAttr{
		{Setpgid: true},
		{Setsid: true},
		{Setsid: true, Cloneflags: unix.CLONE_PARENT},
	} {
		if err := spawn(attr, os.Stdout, "fugitive", marker); err != nil {
			return err
		}
	}
	if err := exec.Command("/proc/self/exe", "middle", "fugitive", marker).Run(); err != nil {
		return err
	}
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	return exec.Command("/proc/self/exe", "middle", "fugitive", marker).Run()
}

// fugitive ignores what can be ignored and holds nothing.
func fugitive() {
	signal.Ignore(unix.SIGTERM, unix.SIGHUP, unix.SIGINT)
	_ = unix.CloseRange(0, 2, 0) // the Go runtime has files of its own
	for {
		_ = unix.Pause()
	}
}
