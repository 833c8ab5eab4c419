package memscan

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// mapping is one entry of /proc/PID/smaps.
type mapping struct {
	start, end uint64
	perms      string // "rw-p"
	name       string // path or "[heap]", may be empty
	held       uint64 // KiB in memory or swap
}

func (m mapping) String() string {
	return strings.TrimSpace(fmt.Sprintf("%x-%x %s %s", m.start, m.end, m.perms, m.name))
}

// mappings reads smaps, not maps: only it tells a reservation that was never
// touched, which a Go process has by the gigabyte, from memory with content.
func mappings(pid int) ([]mapping, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mapping
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && !strings.HasSuffix(fields[0], ":"):
			m, err := newMapping(fields)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
		case len(fields) == 3 && len(all) > 0 && (fields[0] == "Rss:" || fields[0] == "Swap:"):
			kib, err := strconv.ParseUint(fields[1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("cannot read smaps: %v", err)
			}
			all[len(all)-1].held += kib
		}
	}
	return all, lines.Err()
}

// newMapping takes "start-end perms offset device inode name...".
func newMapping(fields []string) (m mapping, err error) {
	if _, err := fmt.Sscanf(fields[0], "%x-%x", &m.start, &m.end); err != nil {
		return m, fmt.Errorf("cannot read smaps: %v", err)
	}
	m.perms = fields[1]
	m.name = strings.Join(fields[5:], " ")
	return m, nil
}

// kernel says that the kernel made m and no value can be in it: clocks, and a
// page that only exists as an address.
func (m mapping) kernel() bool {
	return strings.HasPrefix(m.name, "[vvar") || m.name == "[vsyscall]"
}

// secret says that m is memfd_secret(2) memory.
func (m mapping) secret() bool { return strings.HasPrefix(m.name, "/secretmem") }

// worthReading is true of all that the process can read, and of what it cannot
// read for now but has content: a guard page that hides a value.
func (m mapping) worthReading() bool { return m.perms[0] == 'r' || m.held > 0 }
