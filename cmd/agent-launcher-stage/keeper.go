package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/agent-launcher/agent-launcher/sandbox/keeper"
)

// runKeeper parses a keeper's command line and is its whole life. The exit code
// is 2 for usage, 1 for an error, a value that cannot be among them.
func runKeeper(args []string) int {
	o, err := keeperOptions(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(os.Stderr, usage)
		return 2
	}
	if err == nil {
		err = keeper.Main(o, serves)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "agent-launcher: keeper:", err)
		return 1
	}
	return 0
}

// serves tells who started the keeper: systemd, or a launcher that reads its
// stdout.
func serves() {
	keeper.Notify()
	fmt.Println("ready")
	_ = os.Stdout.Close()
}

func keeperOptions(args []string) (keeper.Options, error) {
	var o keeper.Options
	var daemon, uids string
	var allowed []string
	f := flag.NewFlagSet("keeper", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.Socket, "socket", "", "")
	f.StringVar(&o.HostKey, "host-key", "", "")
	f.StringVar(&daemon, "daemon-user", "", "")
	f.StringVar(&uids, "uid-range", "", "")
	f.BoolVar(&o.Once, "once", false, "")
	f.Func("allow-user", "", func(name string) error { allowed = append(allowed, name); return nil })
	if err := f.Parse(args); err != nil {
		return o, errors.Join(flag.ErrHelp, err)
	}
	if o.Socket == "" || o.HostKey == "" && !o.Once || f.NArg() > 0 {
		return o, flag.ErrHelp
	}
	var err error
	if o.HostKey, err = credential(o.HostKey); err != nil {
		return o, err
	}
	o.Daemon = uint32(os.Geteuid())
	if daemon != "" {
		if o.Daemon, err = keeper.LookupUID(daemon); err != nil {
			return o, fmt.Errorf("--daemon-user: %w", err)
		}
	}
	first, last, err := uidRange(uids)
	if err != nil {
		return o, err
	}
	if o.Users, err = keeper.NewUsers(first, last, allowed); err != nil {
		return o, err
	}
	return o, o.Users.Separate(o.Daemon)
}

// credential resolves credential:NAME, a file that systemd made for this unit.
func credential(path string) (string, error) {
	name, ok := strings.CutPrefix(path, "credential:")
	if !ok {
		return path, nil
	}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("--host-key %s: systemd gave this unit no such credential, see LoadCredential=", path)
	}
	return filepath.Join(dir, name), nil
}

// uidRange parses A-B. The last uid is the masker's, so an agent needs two.
func uidRange(s string) (first, last uint32, err error) {
	if s == "" {
		return 0, 0, nil
	}
	a, b, ok := strings.Cut(s, "-")
	x, errA := strconv.ParseUint(a, 10, 32)
	y, errB := strconv.ParseUint(b, 10, 32)
	if !ok || errA != nil || errB != nil || x == 0 || x >= y || y >= 1<<32-2 {
		return 0, 0, fmt.Errorf("--uid-range %q: must be A-B with 0 < A < B, such as 61184-65519", s)
	}
	return uint32(x), uint32(y), nil
}
