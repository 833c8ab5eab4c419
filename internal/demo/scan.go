package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/internal/memscan"
)

// scan looks for every value and every remainder of one, in a process of its own.
func (d *demo) scan(ctx context.Context, r memscan.Request) (*memscan.Report, error) {
	r.Canaries = d.canaries()
	report, err := memscan.Run(ctx, filepath.Join(d.bin, "demo", "memscan"), r)
	if err != nil {
		return nil, err
	}
	for _, hit := range report.Hits {
		return nil, fmt.Errorf("a value was found (%d times in all), first as %s in %s", report.Count(), hit.Form, hit.Place)
	}
	return report, nil
}

// scanMemory reads the living daemon and its plugin. Agents come and go below
// the same daemon and hold their values by right, so they are not read.
func (d *demo) scanMemory(ctx context.Context) (err error) {
	var status struct{ Plugins []struct{ PID int } }
	text, err := d.operate(ctx, "status", "--json")
	if err == nil {
		err = json.Unmarshal(text, &status)
	}
	if err != nil {
		return d.daemon.fail(err)
	}
	if len(status.Plugins) != 1 || status.Plugins[0].PID == 0 {
		return d.daemon.fail(fmt.Errorf("cannot scan the plugin: status names %d", len(status.Plugins)))
	}
	d.plugin = status.Plugins[0].PID
	report, err := d.scan(ctx, memscan.Request{PIDs: []int{d.daemon.cmd.Process.Pid, d.plugin}})
	switch {
	case err != nil:
		return err
	case report.Denied():
		d.out.ok("memory", "not looked at: the daemon keeps even its own user out; root may look")
		return nil
	case len(report.Errors) > 0:
		return fmt.Errorf("cannot scan %s: %s", report.Errors[0].Place, report.Errors[0].Reason)
	}
	d.out.ok("memory", "0 copies of any value in the live daemon and plugin (%d MB read)", report.Bytes>>20)
	return nil
}

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

// scanFiles reads every file: the database, which has ciphertext, the state,
// the logs and the programs.
func (d *demo) scanFiles(ctx context.Context) error {
	report, err := d.scan(ctx, memscan.Request{Trees: []string{d.dir}})
	if err != nil {
		return err
	}
	if len(report.Errors) > 0 {
		return fmt.Errorf("cannot scan %s: %s", report.Errors[0].Place, report.Errors[0].Reason)
	}
	d.out.ok("files", "0 copies in %d files (%d MB), the database, logs and state among them", report.Files, report.Bytes>>20)
	return nil
}
