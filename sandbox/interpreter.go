package sandbox

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// interpretersOf are the programs that a script's first line starts: the one
// that it names, and what that looks up in PATH if it is env(1).
func interpretersOf(script, path string) []string {
	fields := firstLine(script)
	if len(fields) == 0 {
		return nil
	}
	interpreters := fields[:1:1]
	if filepath.Base(fields[0]) != "env" {
		return interpreters
	}
	for _, arg := range fields[1:] {
		if !strings.HasPrefix(arg, "-") && !strings.Contains(arg, "=") {
			return append(interpreters, candidates(arg, path)...)
		}
	}
	return interpreters
}

// firstLine is what follows #!, execve(2).
func firstLine(script string) []string {
	f, err := os.OpenFile(script, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() { // a FIFO would be waited for
		return nil
	}
	line, _ := bufio.NewReaderSize(f, 256).ReadString('\n') // BINPRM_BUF_SIZE
	rest, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return nil
	}
	return strings.Fields(rest)
}
