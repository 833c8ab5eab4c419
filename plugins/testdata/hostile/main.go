// Command hostile is a plugin for tests. The name it is started under says
// how it starts; as obey it does in Plan what the configuration says.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
)

func main() {
	if len(os.Args) > 1 { // a child that was left behind
		child(os.Args[1])
	}
	switch name := filepath.Base(os.Args[0]); name {
	case "garbage":
		fmt.Println("\x1b[31mhello, world")
		forever()
	case "flood":
		for {
			fmt.Print("no newline in sight ")
		}
	case "exit":
		fmt.Fprintln(os.Stderr, "cannot find my library")
		os.Exit(3)
	case "silent":
		forever()
	case "tcp":
		fmt.Println("1|1|tcp|127.0.0.1:1|grpc|")
		forever()
	case "elsewhere":
		fmt.Println("1|1|unix|/run/somebody.sock|grpc|")
		forever()
	case "big":
		serveBig()
	case "mute":
		serveMute()
	case "streams":
		serveStreams()
	case "deaf":
		deaf()
	default:
		adapter.Serve(obey{name: name})
	}
}
