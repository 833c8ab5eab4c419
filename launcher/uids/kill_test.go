package uids

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/agent-launcher/agent-launcher/launcher/config"
)

var many = config.UIDRange{First: 3_000_000_000, Last: 3_000_100_000}

// giveAll gives uids until it is killed, and says which.
func giveAll(file string) int {
	for i := 0; ; i++ {
		id := fmt.Sprintf("%d-%d", os.Getpid(), i)
		uid, err := (&Table{file, many}).For(id)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(id, uid)
	}
}

// A uid that was handed out is on disk, whenever the process dies.
func TestKill(t *testing.T) {
	f := file(t)
	given := map[string]uint32{}
	for round := range 12 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "UIDS_GIVE_ALL="+f)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			var id string
			var uid uint32
			if _, err := fmt.Sscan(lines.Text(), &id, &uid); err != nil {
				break // cut by the kill
			}
			given[id] = uid
			if n == round*3 {
				_ = child.Process.Kill()
			}
		}
		_ = child.Wait() // killed
		table := open(t, f, many)
		for id, uid := range given {
			if got, known, err := table.Look(id); err != nil || !known || got != uid {
				t.Fatalf("round %d: %s had uid %d, now %d, %v", round, id, uid, got, err)
			}
		}
	}
	if len(given) < 12 {
		t.Errorf("only %d uids: nothing is proven", len(given))
	}
}
