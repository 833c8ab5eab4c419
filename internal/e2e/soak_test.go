//go:build soak

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/launcher/runs"
)

// soaked is one agent of the soak: the secret that it has, and which version of
// it was acknowledged when.
type soaked struct {
	name, secret string

	mu    sync.Mutex
	acked []time.Time // of version 1, 2, 3 ...
	off   bool        // disabled, and not to be rotated
}

// soakScript notes its run, when it began and the version that it has, and never two
// at a time. Its TOKEN ends in its version.
const soakScript = `mkdir "$NAME.up" 2>&- || echo "$NAME $PAPERCLIP_RUN_ID" >> doubled
echo "$PAPERCLIP_RUN_ID $(date +%s%N) ${TOKEN##*-}" >> "$NAME.starts"
trap 'rmdir "$NAME.up"; exit' TERM
sleep 0.0$((RANDOM % 9)) & wait
[ -z "$SERVICE" ] || { sleep 1000 & wait; }
rmdir "$NAME.up"`

// TestSoak: SOAK (10m) of a hundred agents, with rotations, revocations, edits,
// reloads, outages, and kill -9 of the daemon every 20 s.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		length = 10 * time.Minute
	}
	h := newHost(t)
	h.ownUIDs()
	canary := "canary" + randomText()
	agents := make([]*soaked, 100)
	for i := range agents {
		a := &soaked{name: fmt.Sprintf("agent-%02d", i)}
		a.secret = h.plane.CreateSecret(h.company, a.name, canary+"-1")
		a.acked = []time.Time{time.Now()}
		spec := agent{command: "bash", args: []string{"-c", soakScript}, env: map[string]any{"TOKEN": ref(a.secret, "latest"), "NAME": a.name}}
		if i%5 == 0 {
			spec.env["SERVICE"], spec.more = "yes", service()
		}
		h.addAgent(a.name, spec)
		agents[i] = a
	}
	h.start()
	begin := time.Now()
	for kill := begin.Add(20 * time.Second); time.Since(begin) < length; {
		h.disturb(agents, canary)
		if time.Now().After(kill) {
			h.measure(begin)
			h.kill()
			h.start()
			kill = time.Now().Add(20 * time.Second)
		}
	}
	later.Wait()
	if os.Geteuid() == 0 {
		if code, report := memscan(t, h.bin.Memscan, []string{canary}, "--pid", strconv.Itoa(h.cmd.Process.Pid)); code != 0 {
			t.Errorf("canary in the daemon: exit %d\n%s", code, report)
		}
	}
	h.measure(begin)
	h.stop()
	h.judge(agents, canary)
}

// later is what a disturbance ends with.
var later sync.WaitGroup

// disturb does one thing that happens on a host, and waits for a while.
func (h *host) disturb(agents []*soaked, canary string) {
	a := agents[rand.N(len(agents))]
	switch rand.N(8) {
	default:
		a.mu.Lock()
		if !a.off {
			h.plane.Rotate(a.secret, fmt.Sprintf("%s-%d", canary, len(a.acked)+1))
			a.acked = append(a.acked, time.Now())
		}
		a.mu.Unlock()
	case 4:
		disable := func(off bool) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.off = off
			h.plane.PatchSecret(a.secret, map[string]any{"status": map[bool]string{true: "disabled", false: "active"}[off]})
		}
		disable(true)
		later.Go(func() { time.Sleep(2 * time.Second); disable(false) })
	case 5:
		path := h.path("adapters.d/" + a.name + ".json")
		data, err := os.ReadFile(path)
		must(h.t, err)
		h.write("adapters.d/"+a.name+".json", []byte(strings.Replace(string(data), `"graceSec":`, fmt.Sprintf(`"timeoutSec":%d,"graceSec":`, 100+rand.N(9)), 1)))
		h.write("adapters.d/"+a.name+".json", data)
	case 6:
		_ = h.cmd.Process.Signal(syscall.SIGHUP)
	case 7:
		h.proxy.turn(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusBadGateway) })
		later.Go(func() { time.Sleep(time.Duration(rand.N(3000)) * time.Millisecond); h.proxy.turn(nil) })
	}
	time.Sleep(time.Duration(100+rand.N(400)) * time.Millisecond)
}

// measure prints what the daemon takes.
func (h *host) measure(begin time.Time) {
	pid := strconv.Itoa(h.cmd.Process.Pid)
	fds, _ := os.ReadDir("/proc/" + pid + "/fd")
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	field := func(name string) string {
		_, rest, _ := strings.Cut(string(status), name+":")
		line, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(line)
	}
	h.t.Logf("%4.0f s: %d files, %s threads, RSS %s", time.Since(begin).Seconds(), len(fds), field("Threads"), field("VmRSS"))
}

// judge counts what went wrong.
func (h *host) judge(agents []*soaked, canary string) {
	starts, lost, wrong := 0, 0, 0
	for _, a := range agents {
		data, _ := os.ReadFile(h.path("work/" + a.name + ".starts"))
		store, err := runs.Open(h.path("state/runs"))
		must(h.t, err)
		records, err := store.List(a.name)
		must(h.t, err)
		known := map[string]runs.State{}
		for _, r := range records {
			known[r.RunID] = r.State
		}
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		for i, line := range lines {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			starts++
			ns, _ := strconv.ParseInt(f[1], 10, 64)
			version, _ := strconv.Atoi(f[2])
			// A heartbeat that began before the acknowledgement may start after it:
			// a loaded machine takes a while between.
			if version < len(a.acked) && time.Unix(0, ns).After(a.acked[version].Add(5*time.Second)) {
				wrong++
				h.t.Errorf("%s: version %d at %s, %d was acknowledged %s", a.name, version, time.Unix(0, ns), version+1, a.acked[version])
			}
			if state, ok := known[f[0]]; i >= len(lines)-40 && (!ok || !state.Done()) { // older ones are pruned
				lost++
				h.t.Errorf("%s: run %s is %q on record", a.name, f[0], state)
			}
		}
	}
	doubled, _ := os.ReadFile(h.path("work/doubled"))
	survivors := 0
	for pid := range commands() {
		if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); err == nil && strings.Contains(string(env), canary) {
			survivors++
		}
	}
	left, _ := filepath.Glob(h.path("state/agents/*/tmp/*"))
	h.t.Logf("%d starts, %d lost, %d doubled, %d wrong versions, %d survivors, %d temporary directories", starts, lost, strings.Count(string(doubled), "\n"), wrong, survivors, len(left))
	if len(doubled) > 0 || survivors > 0 || len(left) > 0 {
		h.t.Errorf("doubled: %s, temporary directories: %q", doubled, left)
	}
	must(h.t, os.Remove(h.path("host.key")))
	if code, report := memscan(h.t.(*testing.T), h.bin.Memscan, []string{canary}, "--tree", h.path("state"), "--tree", h.plane.Dir); code != 0 {
		h.t.Errorf("canary in a file: exit %d\n%s", code, report)
	}
}
