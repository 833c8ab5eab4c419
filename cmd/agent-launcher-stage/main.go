// Command agent-launcher-stage is the privileged part of agent-launcher: the
// only program that reads the host key and holds values. People do not run it;
// agent-launcher does.
package main

import (
	"fmt"
	"os"

	"github.com/agent-launcher/agent-launcher/sandbox/masker"
	"github.com/agent-launcher/agent-launcher/sandbox/stage"
)

const usage = `usage: agent-launcher-stage keygen --out FILE
       agent-launcher-stage keeper --socket S --host-key FILE [--daemon-user U] [--allow-user U]... [--uid-range A-B]
       agent-launcher-stage keeper --socket S --once [--host-key FILE]   (started by agent-launcher alone)
       agent-launcher-stage stage            (started by the keeper alone)
       agent-launcher-stage masker UID:GID   (started by the keeper alone)
       agent-launcher-stage sweep UID:GID    (started by the keeper alone)
`

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	switch {
	case len(args) == 1 && args[0] == "stage":
		stage.Main()
	case len(args) == 2 && args[0] == "masker":
		masker.Main(args[1])
	case len(args) >= 1 && args[0] == "keeper":
		return runKeeper(args[1:])
	case len(args) == 2 && args[0] == "sweep":
		return stage.Sweep(args[1])
	case len(args) == 3 && args[0] == "keygen" && args[1] == "--out":
		public, err := stage.Keygen(args[2])
		if err != nil {
			fmt.Fprintln(os.Stderr, "agent-launcher:", err)
			return 1
		}
		fmt.Println(public)
		return 0
	}
	fmt.Fprint(os.Stderr, usage)
	return 2
}
