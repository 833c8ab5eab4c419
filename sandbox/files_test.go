package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMemoryFileIsSealed: the stage and the agent read what was checked, no
// matter who holds the descriptor too.
func TestMemoryFileIsSealed(t *testing.T) {
	var f files
	defer f.close()
	file := f.memfd("launch-spec", []byte("checked"))
	if f.err != nil {
		t.Fatal(f.err)
	}
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for _, holder := range []*os.File{file, again} {
		for what, err := range map[string]error{
			"write":  second(holder.WriteAt([]byte("X"), 0)),
			"append": second(holder.WriteAt([]byte("X"), 7)),
			"shrink": holder.Truncate(0),
			"grow":   holder.Truncate(100),
			"map":    second(unix.Mmap(int(holder.Fd()), 0, 7, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)),
			"unseal": second(unix.FcntlInt(holder.Fd(), unix.F_ADD_SEALS, 0)),
		} {
			if !errors.Is(err, unix.EPERM) {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if got, err := io.ReadAll(file); string(got) != "checked" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestExitString(t *testing.T) {
	for want, exit := range map[string]Exit{
		"exit status 0":  {Known: true},
		"exit status 70": {Known: true, Code: 70},
		"signal: killed": {Known: true, Signal: unix.SIGKILL},
		"unknown":        {},
	} {
		if exit.String() != want {
			t.Errorf("got %q, want %q", exit, want)
		}
	}
}
