package keeper_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// kill -9 of maskers while an agent prints: what is not in the log is counted as
// lost, or said to be torn.
func TestKilledMaskersLoseNothingSilently(t *testing.T) {
	t.Parallel()
	k := start(t)
	l, _, _ := k.hello(t)
	path := filepath.Join(k.dir, "log")
	log, err := unix.Open(path, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	must(t, err)
	null := open(t, os.DevNull, unix.O_RDWR)
	run, pid := l.running(t, launch{files: []int{memfd(t, "exec seq 1 3000000", true), null, log, null, null}})
	kills := 0
	for alive(pid) && kills < 40 {
		if m := maskerNow(k.cmd.Process.Pid); m != 0 {
			_ = syscall.Kill(m, syscall.SIGKILL)
			kills++
		}
		unix.Select(0, nil, nil, nil, &unix.Timeval{Usec: 20000})
	}
	r := l.ended(run)
	t.Logf("%d kills: %+v", kills, r)
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	want, gaps := 1, 0
	for s := bufio.NewScanner(f); s.Scan(); {
		n, _ := strconv.Atoi(s.Text())
		if n > want {
			gaps++
		}
		want = n + 1
	}
	t.Logf("last line %d, gaps %d", want-1, gaps)
	if (gaps > 0 || want != 3000001) && r.Lost == 0 && !r.Torn {
		t.Error("output is missing, and nothing is said of it")
	}
}

func maskerNow(keeper int) int {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(keeper) + "/task/" + strconv.Itoa(keeper) + "/children")
	for _, f := range strings.Fields(string(data)) {
		cmd, _ := os.ReadFile("/proc/" + f + "/cmdline")
		if strings.Contains(string(cmd), "\x00masker\x00") {
			pid, _ := strconv.Atoi(f)
			return pid
		}
	}
	return 0
}
