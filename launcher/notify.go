package launcher

import (
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notify tells systemd, sd_notify(3). Without systemd it does nothing.
func notify(state ...string) {
	_, _ = daemon.SdNotify(false, strings.Join(state, "\n"))
}

// notifyReloading is RELOADING=1 with the time in one datagram, as
// Type=notify-reload demands (systemd 253).
func notifyReloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	notify("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

func (d *Daemon) statusLine() string {
	agents, problems := d.agents.list()
	return fmt.Sprintf("STATUS=%d agents, %d files with problems", len(agents), len(problems))
}
