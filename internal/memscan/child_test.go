package memscan

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// childEnv turns the test binary into the child that a scan looks at.
const childEnv = "MEMSCAN_TEST_CHILD"

func TestMain(m *testing.M) {
	if place := os.Getenv(childEnv); place != "" {
		os.Exit(child(place))
	}
	os.Exit(m.Run())
}

// child keeps the bytes that arrive on stdin, masked, in the named place, says
// so, and lives until stdin closes.
func child(place string) int {
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	if err != nil {
		return 1
	}
	planted, err := unmask(line[:len(line)-1])
	if err == nil {
		planted, err = plant(place, planted)
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("planted")
	_, _ = io.Copy(io.Discard, in)
	runtime.KeepAlive(planted)
	return 0
}

func plant(place string, value []byte) ([]byte, error) {
	switch place {
	case "nothing", "environ", "cmdline":
		clear(value)
		return nil, nil
	case "heap":
		return value, nil
	case "mapping", "guarded":
		return value, plantMapping(value, place == "guarded")
	case "memfd":
		fd, err := unix.MemfdCreate("test", 0) // stays open
		if err == nil {
			_, err = unix.Write(fd, value)
		}
		clear(value)
		return nil, err
	case "deleted":
		f, err := os.CreateTemp("", "memscan")
		if err != nil {
			return nil, err
		}
		_, err = f.Write(value)
		clear(value)
		runtime.SetFinalizer(f, nil)
		return []byte(f.Name()), firstError(err, os.Remove(f.Name()))
	case "undumpable":
		return value, unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	}
	return nil, fmt.Errorf("unknown place %s", place)
}

func plantMapping(value []byte, guarded bool) error {
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	copy(page[100:], value)
	clear(value)
	if guarded {
		return unix.Mprotect(page, unix.PROT_NONE)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// startChild starts a child with value planted and returns its pid.
func startChild(t *testing.T, place string, value []byte) int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{childEnv + "=" + place, "TMPDIR=" + t.TempDir()}
	if place == "environ" {
		cmd.Env = append(cmd.Env, "X="+base64.StdEncoding.EncodeToString(value))
	}
	if place == "cmdline" {
		cmd.Args = append(cmd.Args, base64.StdEncoding.EncodeToString(value))
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close(); _ = cmd.Wait() })
	if _, err := stdin.Write(EncodeCanaries([][]byte{value})); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "planted\n" {
		t.Fatalf("child: %s %v", line, err)
	}
	return cmd.Process.Pid
}
