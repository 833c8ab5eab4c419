package memscan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// process scans one process. If it ends meanwhile, that is a failure: nobody
// knows what the unread rest held.
func (s *scanner) process(pid int) {
	born, err := startTime(pid)
	if err != nil {
		s.fail("process", pid, err)
		return
	}
	failures := len(s.report.Errors)
	if err := s.memory(pid); err != nil {
		s.fail("memory of process", pid, err)
	}
	for _, name := range []string{"environ", "cmdline"} {
		s.file(fmt.Sprintf("/proc/%d/%s", pid, name))
	}
	if err := s.openFiles(pid); err != nil {
		s.fail("open files of process", pid, err)
	}
	if now, err := startTime(pid); err != nil || now != born {
		s.fail("process", pid, errors.New("it ended while it was scanned"))
	}
	if len(s.report.Errors) == failures {
		s.report.Processes++
	}
}

func (s *scanner) memory(pid int) error {
	all, err := mappings(pid)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("it has none: a kernel thread or a zombie")
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer f.Close()
	for _, m := range all {
		switch {
		case m.secret():
			s.report.SecretBytes += m.end - m.start
		case !m.kernel() && m.worthReading():
			s.mapping(pid, f, m)
		}
	}
	return nil
}

func (s *scanner) mapping(pid int, mem *os.File, m mapping) {
	place := fmt.Sprintf("process %d memory %s", pid, m)
	r := &memoryReader{mem: mem, at: m.start, end: m.end}
	s.stream(place, m.start, r)
	s.report.Mappings++
	// Pages behind the end of a mapped file do not exist. Any other page that
	// does not open, in a mapping that is still there, has not been scanned.
	if r.skipped > 0 && !strings.HasPrefix(m.name, "/") && stillMapped(pid, m) {
		s.fail("memory of process", pid, fmt.Errorf("%d bytes of %s are not readable", r.skipped, m))
	}
}

func stillMapped(pid int, m mapping) bool {
	all, err := mappings(pid)
	if err != nil {
		return true
	}
	for _, now := range all {
		if now.start <= m.start && m.end <= now.end {
			return true
		}
	}
	return false
}

// memoryReader reads a range of /proc/PID/mem and zeros where a page does not open.
type memoryReader struct {
	mem     *os.File
	at, end uint64
	skipped uint64 // bytes
}

func (r *memoryReader) Read(p []byte) (int, error) {
	if r.at >= r.end {
		return 0, io.EOF
	}
	p = p[:min(uint64(len(p)), r.end-r.at)]
	n, err := r.mem.ReadAt(p, int64(r.at))
	if n == 0 && err != nil {
		page := uint64(os.Getpagesize())
		n = int(min(uint64(len(p)), page-r.at%page))
		clear(p[:n])
		r.skipped += uint64(n)
	}
	r.at += uint64(n)
	return n, nil
}

// openFiles scans the regular files that the process has open, memfds and
// deleted files among them.
func (s *scanner) openFiles(pid int) error {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		target, err := os.Readlink(path)
		if err != nil || s.skip[target] || !hasContent(target) {
			continue // closed meanwhile, not wanted, or nothing to read
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			continue
		}
		s.file(path)
	}
	return nil
}

// hasContent is false of memfd_secret, which nobody can read, and of epoll,
// eventfd and the like, which stat(2) does not tell from a regular file.
func hasContent(target string) bool {
	return !strings.HasPrefix(target, "/secretmem") && !strings.HasPrefix(target, "anon_inode:")
}

// startTime tells two processes of one number apart: field 22 of proc_pid_stat(5).
func startTime(pid int) (string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", err
	}
	// The name before the last parenthesis may hold blanks.
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 20 {
		return "", syscall.ESRCH
	}
	return string(fields[19]), nil
}
