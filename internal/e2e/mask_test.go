package e2e

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// blurt prints its secret in every form, each on a line of its own, the last
// without one; and one that is too short to be masked.
const blurt = `
printf '%s\n' "$TOKEN"
rest=${TOKEN#?????????}; printf '%s' "${TOKEN%"$rest"}"; printf '%s\n' "$rest"
printf '%s' "$TOKEN" | base64
for before in '' x xy; do printf '%s%s and more' "$before" "$TOKEN" | base64 -w 0 | tr '+/' '-_'; echo; done
printf '%s' "$TOKEN" | od -An -v -tx1 | tr -d ' \n'; echo
printf '%s' "$TOKEN" | od -An -v -tx1 | tr -d ' \n' | tr a-f A-F; echo
printf '%s\n' "$TOKEN" | sed 's,/,%2F,g; s,+,%2B,g; s, ,%20,g; s,",%22,g'
printf '{"token":"%s"}\n' "$(printf '%s' "$TOKEN" | sed 's,",\\",g')"
echo "pin $PIN"
printf '%s' "$TOKEN"
`

const blurted = 11 // copies of TOKEN

// An agent prints its secret in every form: neither its log, nor logs, nor the
// terminal of exec shows it. What cannot be masked is named.
func TestMasked(t *testing.T) {
	h := newHost(t)
	token := `/k+9"Q ` + randomText()
	h.addAgent("a", agent{command: "sh", args: []string{"-c", blurt}, heartbeat: off, env: map[string]any{
		"TOKEN": ref(h.plane.CreateSecret(h.company, "TOKEN", token), "latest"),
		"PIN":   ref(h.plane.CreateSecret(h.company, "PIN", "1234567"), "latest"),
	}})
	check := func(where, out string) {
		t.Helper()
		if strings.Count(out, "[redacted:TOKEN]") != blurted || !strings.Contains(out, "pin 1234567\n") || !strings.HasSuffix(out, "[redacted:TOKEN]") {
			t.Errorf("%s: %s", where, out)
		}
		for _, form := range []string{token, token[2:], base64.StdEncoding.EncodeToString([]byte(token))[:12], hex.EncodeToString([]byte(token))[:12]} {
			if strings.Contains(out, form) || strings.Contains(strings.ToLower(out), form) {
				t.Errorf("%s holds the value: %s", where, out)
			}
		}
	}
	stdout, _, code := runCommand(t, exec.Command(h.bin.Launcher, "exec", "--config", h.config, "a"))
	if code != 0 {
		t.Errorf("exec: %d", code)
	}
	check("exec", stdout)

	h.start()
	run := h.wake("a").Run
	log, err := os.ReadFile(filepath.Join(h.dir, "state/runs/a", run.RunID+".log"))
	must(t, err)
	check("the log", string(log))
	stdout, _, _ = h.cli("logs", "a")
	check("logs", stdout)
	if run.LogBytes != int64(len(log)) || !slices.Equal(run.NotMaskable, []string{"PIN"}) {
		t.Errorf("%+v", run)
	}
	if want := "agent a: values of fewer than 8 bytes are not masked in its output: PIN"; !slices.Contains(h.status().Notes, want) {
		t.Error(fmt.Sprint(h.status().Notes))
	}
}
