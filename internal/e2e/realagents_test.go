//go:build e2e

package e2e

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/agent-launcher/agent-launcher/internal/modelstub"
	"github.com/agent-launcher/agent-launcher/launcher/control"
)

// realTools are the tools as their agents' files name them.
var realTools = []struct{ adapter, path, key, baseURL, suffix string }{
	{"claude_local", claude, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", ""},
	{"codex_local", codex, "OPENAI_API_KEY", "OPENAI_BASE_URL", "/v1"},
}

// TestRealAgents: the daemon runs the real tools under the default sandbox. The
// model's API gets exactly the key, a session goes on until the key is another
// one, a refused key is a failed run, and no file of an agent ever has the key,
// however the run ends.
func TestRealAgents(t *testing.T) {
	modules, inside := os.LookupEnv(apartVar)
	if !inside {
		apart(t, installTools(t)) // which needs a network
		return
	}
	must(t, loopbackUp())
	for _, tool := range realTools {
		t.Run(tool.adapter, func(t *testing.T) {
			stub := &modelstub.Server{}
			server := httptest.NewServer(stub)
			t.Cleanup(server.Close)
			h := newHost(t)
			h.ownUIDs()
			value := "sk-made-up-" + randomText()
			secret := h.plane.CreateSecret(h.company, "key", value)
			for _, mode := range []string{"ok", "401", "hang"} {
				h.addAgent(mode, agent{
					adapter: tool.adapter, command: filepath.Join(modules, tool.path), heartbeat: off,
					env: map[string]any{tool.key: ref(secret, "latest"), tool.baseURL: server.URL + "/" + mode + tool.suffix, "IS_SANDBOX": "1"},
				})
			}
			h.start()
			step := func(task, key, summary string, resumed bool) string {
				t.Helper()
				before := len(stub.Requests())
				r := h.wakeFor("ok", task)
				if o := r.Outcome; o.Summary != summary || o.OutputTokens == 0 || o.InputTokens == 0 || o.SessionID == "" || r.Reason != "" || (r.Resumed != nil) != resumed {
					t.Errorf("%+v of %+v\n%s", o, r, h.logTail())
				}
				for _, q := range stub.Requests()[before:] {
					if strings.TrimPrefix(q.Key, "Bearer ") != key {
						t.Errorf("%s got another key", q.Path)
					}
				}
				if len(stub.Requests()) == before {
					t.Error("no request arrived")
				}
				return r.Outcome.SessionID
			}
			first := step("", value, "STUB turns=1", false)
			if again := step("", value, "STUB turns=2", true); again != first {
				t.Errorf("session %s, then %s", first, again)
			}
			if other := step("T-1", value, "STUB turns=1", false); other == first {
				t.Error("another task has the same session")
			}
			next := "sk-made-up-" + randomText()
			h.plane.Rotate(secret, next)
			if fresh := step("", next, "STUB turns=1", false); fresh == first {
				t.Error("the session outlived the key")
			}
			refused := h.wakeFor("401", "")
			if refused.Outcome.ErrorClass != "auth" || refused.Reason == "" {
				t.Errorf("a refused key: %+v of %+v", refused.Outcome, refused)
			}
			for _, end := range []func(int){
				func(int) { _, _, _ = h.cli("stop", "hang") },
				func(pid int) { must(t, syscall.Kill(pid, syscall.SIGKILL)) },
			} {
				arrived := stub.Arrived()
				_, err := control.NewClient(h.socket).Wake(context.Background(), "hang", control.Wake{}, false)
				must(t, err)
				<-arrived
				end(h.waitFor("hang", control.StateRunning).Run.PID)
				h.eventually("it ends", func() bool { return h.agentStatus("hang").Run == nil })
			}
			h.stop()
			for _, key := range []string{value, next} {
				if found := leaks(t, h.path("state"), key); found != nil {
					t.Errorf("the key is in %v", found)
				}
			}
		})
	}
}
