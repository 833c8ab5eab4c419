package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// stop ends the daemon, with its agents and plugin, and the control plane.
func (d *demo) stop(ctx context.Context) error {
	if err := d.daemon.terminate(ctx); err != nil {
		return err
	}
	left, err := running(d.bin)
	if err != nil {
		return err
	}
	left = slices.DeleteFunc(left, func(pid int) bool { return pid == d.controlPlane.cmd.Process.Pid })
	if unix.Kill(d.plugin, 0) == nil {
		left = append(left, d.plugin)
	}
	if len(left) > 0 {
		return d.daemon.fail(fmt.Errorf("the daemon left processes behind: %v", left))
	}
	if err := d.controlPlane.terminate(ctx); err != nil {
		return err
	}
	d.out.ok("stopped", "SIGTERM ended the daemon with its agents and plugin, and the control plane")
	return nil
}

// running finds the processes whose command lies below dir, which only this
// demo knows. A plugin's command does not say where it lies.
func running(dir string) (pids []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err == nil && bytes.HasPrefix(cmdline, []byte(dir+"/")) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
