package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/agent-launcher/agent-launcher/internal/memscan"
)

// scan looks for every value and every remainder of one, in a process of its
// own: this one has them all.
func (d *demo) scan(ctx context.Context, r memscan.Request) (*memscan.Report, error) {
	r.Canaries = d.canaries()
	return memscan.Run(ctx, filepath.Join(d.bin, "demo", "memscan"), r)
}

// nothing turns hits, and errors but want of permission, into an error.
func nothing(r *memscan.Report) error {
	for _, hit := range r.Hits {
		return fmt.Errorf("a value was found (%d times in all), first as %s in %s", r.Count(), hit.Form, hit.Place)
	}
	for _, failure := range r.Errors {
		if !failure.Denied {
			return fmt.Errorf("cannot scan %s: %s", failure.Place, failure.Reason)
		}
	}
	return nil
}

// scanMemory reads the living daemon and its plugin. Agents come and go below
// the same daemon and hold their values by right, so they are not read.
func (d *demo) scanMemory(ctx context.Context) (err error) {
	if d.plugin, err = d.pluginPID(ctx); err != nil {
		return d.daemon.fail(err)
	}
	var read, closed []string
	var size uint64 // bytes
	for _, p := range []struct {
		name string
		pid  int
	}{{"daemon", d.daemon.cmd.Process.Pid}, {"plugin", d.plugin}} {
		report, err := d.scan(ctx, memscan.Request{PIDs: []int{p.pid}})
		if err == nil {
			err = nothing(report)
		}
		if err != nil {
			return err
		}
		size += report.Bytes
		if report.Denied() {
			closed = append(closed, p.name)
			continue
		}
		read = append(read, p.name)
	}
	if len(read) > 0 {
		if err := d.scannerWorks(ctx); err != nil {
			return err
		}
		d.out.ok("memory", "0 copies of a value in the live %s (%d MB)", strings.Join(read, " and "), size>>20)
	}
	if len(closed) > 0 {
		d.out.skip("memory", "not looked at: the live %s, closed to all but root", strings.Join(closed, " and "))
	}
	return nil
}

func (d *demo) pluginPID(ctx context.Context) (int, error) {
	text, err := d.operate(ctx, "status", "--json")
	if err != nil {
		return 0, err
	}
	var status struct{ Plugins []struct{ PID int } }
	if err := json.Unmarshal(text, &status); err != nil {
		return 0, err
	}
	for _, p := range status.Plugins {
		if p.PID != 0 {
			return p.PID, nil
		}
	}
	return 0, errors.New("cannot scan the plugin: none runs")
}

// scannerWorks lets the same scan look where every value is: in the demo.
func (d *demo) scannerWorks(ctx context.Context) error {
	report, err := d.scan(ctx, memscan.Request{PIDs: []int{os.Getpid()}})
	if err == nil && report.Count() == 0 {
		err = errors.New("cannot trust the scan: it finds nothing in the demo's own memory, which has every value")
	}
	return err
}

// scanFiles reads every file: the database, which has ciphertext, the state,
// the logs and the programs.
func (d *demo) scanFiles(ctx context.Context) error {
	report, err := d.scan(ctx, memscan.Request{Trees: []string{d.dir}})
	if err == nil {
		err = nothing(report)
	}
	if err == nil && report.Denied() {
		err = fmt.Errorf("cannot scan %s: %s", report.Errors[0].Place, report.Errors[0].Reason)
	}
	if err != nil {
		return err
	}
	d.out.ok("files", "0 copies in %d files (%d MB), the database, logs and state among them", report.Files, report.Bytes>>20)
	return nil
}
