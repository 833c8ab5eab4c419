// Command baseline launches a child as most tools do: the secret in the
// environment of an exec.Cmd. A scan must find copies of it here.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func main() {
	secret, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		os.Exit(1)
	}
	child := exec.Command("sleep", "60")
	child.Env = []string{"TOKEN=" + strings.TrimSpace(secret)}
	if err := child.Start(); err != nil {
		os.Exit(1)
	}
	fmt.Println("launched")
	_ = child.Wait()
}
