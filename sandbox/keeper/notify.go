package keeper

import (
	"os"

	"golang.org/x/sys/unix"
)

// Notify tells systemd that the keeper serves, sd_notify(3). Without systemd it
// does nothing.
func Notify() {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" || path[0] != '/' && path[0] != '@' {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.Sendto(fd, []byte("READY=1"), 0, &unix.SockaddrUnix{Name: path})
}
