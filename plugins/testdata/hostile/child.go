package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

// forever is longer than any test. select {} would be found out by the
// runtime as a deadlock.
func forever() { time.Sleep(time.Hour) }

func child(how string) {
	if how == "linger" {
		time.Sleep(3 * time.Second) // long enough to be noticed, then clean up
		os.Exit(0)
	}
	forever()
}

// fork leaves a child behind that keeps all of our output open.
func fork(escape bool) (adapter.Plan, error) {
	cmd := exec.Command("/proc/self/exe", "stay")
	cmd.Stdout, cmd.Stderr = os.NewFile(1, "stdout"), os.NewFile(2, "stderr")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: escape}
	if err := cmd.Start(); err != nil {
		return adapter.Plan{}, err
	}
	return adapter.Plan{Argv: []string{strconv.Itoa(cmd.Process.Pid)}, Dir: "/"}, nil
}

// deaf listens and never accepts. A child that left our session holds the socket
// open, so that even our end does not break the connection.
func deaf() {
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		panic(err)
	}
	f, err := l.File()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command("/proc/self/exe", "linger")
	cmd.ExtraFiles = []*os.File{f}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	fmt.Printf("1|1|unix|%s|grpc|\n", path)
	forever()
}
