package plugins

import (
	"os/exec"
	"strings"
	"testing"
)

// TestDeps: the host knows neither the sandbox nor the source of secrets, and
// leaves logging to its caller.
func TestDeps(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/agent-launcher/agent-launcher/"
	for _, dep := range strings.Fields(string(out)) {
		own, ours := strings.CutPrefix(dep, module)
		if ours && own != "protocol" && own != "plugins" && !strings.HasPrefix(own, "plugins/adapter") {
			t.Errorf("imports %s", dep)
		}
		if strings.HasPrefix(dep, "go.uber.org/zap") {
			t.Errorf("imports %s", dep)
		}
	}
}
