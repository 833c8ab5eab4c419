// Command memscan looks for canary values in live processes and in files. Tests
// and the demo use it; it is not installed.
//
//	printf %s "$CANARY" | memscan --pid 1234 --tree /var/lib/agent-launcher
//
// Stdin holds the canaries, one a line, at least 16 bytes each, so that they
// are in no argv and no environment. The report is JSON on stdout. It ends with
// 0 if nothing was found, 1 if something was, 2 if something could not be read.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/agent-launcher/agent-launcher/internal/memscan"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	report, err := scan(args, stdin, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "memscan:", err)
		return memscan.ExitError
	}
	out := json.NewEncoder(stdout)
	out.SetIndent("", "  ")
	if err := out.Encode(report); err != nil {
		fmt.Fprintln(stderr, "memscan: cannot write the report:", err)
		return memscan.ExitError
	}
	return report.Exit()
}

func scan(args []string, stdin io.Reader, stderr io.Writer) (*memscan.Report, error) {
	var request memscan.Request
	flags := flag.NewFlagSet("memscan", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Func("pid", "process to scan, may be repeated", func(text string) error {
		pid, err := strconv.Atoi(text)
		request.PIDs = append(request.PIDs, pid)
		return err
	})
	flags.Func("tree", "file or directory to scan, may be repeated", add(&request.Trees))
	flags.Func("skip", "absolute path to leave out, may be repeated", add(&request.Skip))
	masked := flags.Bool("masked", false, "canaries are hex, every byte XORed with 0xA5")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("cannot scan: unexpected argument; canaries belong on stdin")
	}
	canaries, err := memscan.DecodeCanaries(stdin, *masked)
	if err != nil {
		return nil, err
	}
	request.Canaries = canaries
	return memscan.Scan(request)
}

func add(list *[]string) func(string) error {
	return func(text string) error {
		*list = append(*list, text)
		return nil
	}
}
