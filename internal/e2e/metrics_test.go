package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
)

// An agent without a sandbox shows in status, log and metrics; no metric names a
// secret ref.
func TestSandboxOffShows(t *testing.T) {
	h := newHost(t)
	secret := h.plane.CreateSecret(h.company, "TOKEN", secretValue(1, 1))
	h.addAgent("free", agent{command: "/bin/true", env: map[string]any{"SECRET_REF_NAME": ref(secret, "latest")},
		sandbox: map[string]any{"profile": "off"}})
	h.addAgent("confined", agent{command: "/bin/true"})
	h.start()
	h.wake("free")
	h.wake("confined")

	metrics := h.get(t, "/metrics")
	for _, want := range []string{
		`agent_launcher_agent_sandbox{adapter="process",agent="free",profile="off"} 1`,
		`agent_launcher_agent_sandbox{adapter="process",agent="confined",profile="workspace"} 1`,
		"agent_launcher_keeper_connected 1",
		"agent_launcher_control_plane_reachable 1",
	} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	if strings.Contains(metrics, "SECRET_REF_NAME") || strings.Contains(metrics, secret) {
		t.Error("a metric names a secret ref")
	}
	status, _, _ := h.cli("status")
	for line := range strings.Lines(status) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "free" && fields[2] != "off" {
			t.Errorf("status: %s", line)
		}
	}
	log, err := os.ReadFile(h.log)
	must(t, err)
	if !strings.Contains(string(log), `"sandbox":"off;`) {
		t.Error("the log does not say that an agent ran without a sandbox")
	}
	h.stop()
}

// get asks the control socket.
func (h *host) get(t *testing.T, path string) string {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", h.socket)
	}}}
	answer, err := client.Get("http://agent-launcher" + path)
	must(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(t, err)
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s: %s", path, answer.Status, body)
	}
	return string(body)
}
