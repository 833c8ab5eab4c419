package adapter

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDeps: what third parties import pulls in none of the daemon.
func TestDeps(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/agent-launcher/agent-launcher/"
	forbidden := []string{"go.uber.org/zap", "github.com/spf13/", "modernc.org/", "github.com/fxamacker/cbor",
		"github.com/veraison/", "github.com/fsnotify/", "github.com/coreos/"}
	for _, dep := range strings.Fields(string(out)) {
		if strings.HasPrefix(dep, module) && !strings.HasPrefix(dep, module+"plugins/adapter") {
			t.Errorf("imports %s", dep)
		}
		for _, f := range forbidden {
			if strings.HasPrefix(dep, f) {
				t.Errorf("imports %s", dep)
			}
		}
	}
}
