package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agent-launcher/agent-launcher/controlplane/controlplanetest"
	"github.com/agent-launcher/agent-launcher/internal/testbin"
	"github.com/agent-launcher/agent-launcher/launcher/control"
	"github.com/agent-launcher/agent-launcher/protocol"
)

func TestMain(m *testing.M) { testbin.Main(m) }

// host is an agent host: its files, and a daemon when it is started. All its
// requests pass a proxy that a test may turn hostile.
type host struct {
	t       testing.TB
	bin     testbin.Bin
	dir     string
	plane   *controlplanetest.Server
	company string
	id      string // of the host
	socket  string
	config  string
	log     string
	seed    string // the private key's base64url, for scans
	proxy   *proxy

	with  func(*exec.Cmd) // changes the daemon's start; may be nil
	cmd   *exec.Cmd
	ended chan error
}

func newHost(t testing.TB) *host {
	t.Helper()
	// Not t.TempDir: a socket's path has 107 bytes at most.
	dir, err := os.MkdirTemp("", "al-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &host{t: t, bin: testbin.Build(t), dir: dir, plane: controlplanetest.New(t)}
	t.Cleanup(h.killKeeper)
	must(t, os.Chmod(dir, 0o755))
	must(t, os.Mkdir(h.path("adapters.d"), 0o755))
	must(t, os.Mkdir(h.path("work"), 0o755))
	must(t, os.Chmod(h.path("work"), 0o777)) // some agents run as other users
	h.socket, h.config, h.log = h.path("control.sock"), h.path("config.json"), h.path("daemon.log")
	h.proxy = newProxy(t, h.plane.Handler())
	h.company = h.plane.CreateCompany("Acme")
	h.enrol()
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) enrol() {
	h.t.Helper()
	public, err := exec.Command(h.bin.Launcher, "keygen", "--out", h.path("host.key")).Output()
	must(h.t, err)
	private, err := os.ReadFile(h.path("host.key"))
	must(h.t, err)
	h.seed = strings.TrimSpace(strings.TrimPrefix(string(private), protocol.PrivateKeyPrefix))
	id, token := h.plane.CreateHost(h.company, "host", strings.TrimSpace(string(public)))
	h.id = id
	must(h.t, os.WriteFile(h.path("token"), []byte(token+"\n"), 0o600))
	h.writeJSON("config.json", map[string]any{
		"controlPlane": map[string]any{
			"source": "sealed", "url": h.proxy.url, "hostId": id, "tokenFile": h.path("token"),
			"signingKey": protocol.FormatKey(protocol.SigningKeyPrefix, h.plane.SigningKey),
		},
		"hostKeyFile": h.path("host.key"), "adaptersDir": h.path("adapters.d"), "pluginsDir": h.bin.Plugins,
		"stateDir": h.path("state"), "socket": h.socket,
		"heartbeat": map[string]any{"intervalSec": 1, "jitter": 0},
	})
}

// agent is what a test says of an agent; the rest is filled in.
type agent struct {
	env       map[string]any
	command   string
	args      []string
	heartbeat map[string]any
	timeout   int
	user      string
	sandbox   map[string]any
	adapter   string         // its type; empty: process
	config    map[string]any // more of its adapterConfig
	more      map[string]any // of its file
}

func ref(secret string, version any) map[string]any {
	return map[string]any{"type": "secret_ref", "secretId": secret, "version": version}
}

// addAgent registers an agent at the control plane and writes its file.
func (h *host) addAgent(name string, a agent) (id string) {
	h.t.Helper()
	config := map[string]any{"command": a.command, "cwd": h.path("work"), "timeoutSec": a.timeout, "graceSec": 2}
	if a.args != nil {
		config["args"] = a.args
	}
	if a.env != nil {
		config["env"] = a.env
	}
	maps.Copy(config, a.config)
	if a.adapter == "" {
		a.adapter = "process"
	}
	id = h.plane.CreateAgent(h.company, map[string]any{"name": name, "adapterType": a.adapter, "adapterConfig": config, "hostId": h.id})
	file := map[string]any{"id": id, "companyId": h.company, "name": name, "adapterType": a.adapter, "adapterConfig": config}
	if a.heartbeat != nil {
		file["runtimeConfig"] = map[string]any{"heartbeat": a.heartbeat}
	}
	if a.user != "" {
		file["user"] = a.user
	}
	maps.Copy(file, a.more)
	if a.sandbox != nil {
		file["sandbox"] = a.sandbox
	}
	h.writeJSON("adapters.d/"+name+".json", file)
	return id
}

// writeJSON replaces a file in one step, as an operator's editor does.
func (h *host) writeJSON(name string, v any) {
	h.t.Helper()
	data, err := json.Marshal(v)
	must(h.t, err)
	h.write(name, data)
}

func (h *host) write(name string, data []byte) {
	h.t.Helper()
	must(h.t, os.WriteFile(h.path(name)+"~", data, 0o644))
	must(h.t, os.Rename(h.path(name)+"~", h.path(name)))
}

// start starts the daemon and waits until it answers.
func (h *host) start() {
	h.t.Helper()
	log, err := os.OpenFile(h.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(h.t, err)
	defer log.Close()
	h.cmd = exec.Command(h.bin.Launcher, "run", "--config", h.config, "--log-level", "debug")
	h.cmd.Stdout, h.cmd.Stderr = log, log
	if h.with != nil {
		h.with(h.cmd)
	}
	must(h.t, h.cmd.Start())
	h.ended = make(chan error, 1)
	cmd, ended := h.cmd, h.ended
	go func() { ended <- cmd.Wait(); close(ended) }()
	h.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	h.eventually("the daemon answers", func() bool {
		select {
		case err := <-ended:
			h.t.Fatalf("the daemon ended: %v\n%s", err, h.logTail())
		default:
		}
		_, err := control.NewClient(h.socket).Status(context.Background())
		return err == nil
	})
}

// stop ends the daemon with SIGTERM.
func (h *host) stop() {
	h.t.Helper()
	must(h.t, h.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-h.ended:
		if err != nil {
			h.t.Fatalf("the daemon ended with %v\n%s", err, h.logTail())
		}
	case <-time.After(20 * time.Second):
		h.t.Fatalf("the daemon did not end\n%s", h.logTail())
	}
}

// killKeeper ends a keeper that outlives a killed daemon, and with it its agents.
func (h *host) killKeeper() {
	for pid, argv := range commands() {
		if strings.HasPrefix(argv, "agent-launcher-stage\x00keeper\x00") && strings.Contains(argv, h.path("state/keeper.sock")) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// commands are the command lines of all processes, by pid.
func commands() map[int]string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	out := map[int]string{}
	for _, file := range files {
		if argv, err := os.ReadFile(file); err == nil { // else it ended meanwhile
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			out[pid] = string(argv)
		}
	}
	return out
}

// kill is kill -9.
func (h *host) kill() {
	h.t.Helper()
	must(h.t, h.cmd.Process.Kill())
	<-h.ended
}

func (h *host) status() *control.Status {
	h.t.Helper()
	s, err := control.NewClient(h.socket).Status(context.Background())
	must(h.t, err)
	return s
}

func (h *host) agentStatus(name string) control.Agent {
	h.t.Helper()
	for _, a := range h.status().Agents {
		if a.Name == name {
			return a
		}
	}
	return control.Agent{}
}

// cli runs an operator's command.
func (h *host) cli(args ...string) (stdout, stderr string, code int) {
	h.t.Helper()
	cmd := exec.Command(h.bin.Launcher, append(args, "--socket", h.socket)...)
	return runCommand(h.t, cmd)
}

func runCommand(t testing.TB, cmd *exec.Cmd) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // its exit code says it
	if !late.Stop() {
		t.Fatalf("%v did not end", cmd.Args)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// wake runs one heartbeat to its end.
func (h *host) wake(name string) *control.Woken {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w, err := control.NewClient(h.socket).Wake(ctx, name, control.Wake{}, true)
	must(h.t, err)
	return w
}

// eventually polls for what another process will do.
func (h *host) eventually(what string, ok func() bool) {
	h.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("in vain: %s\n%s", what, h.logTail())
		}
	}
}

func (h *host) logTail() string {
	data, _ := os.ReadFile(h.log)
	return string(data[max(0, len(data)-4000):])
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// proxy stands between a host and the control plane. It counts requests and
// may do anything to them.
type proxy struct {
	url   string
	plane http.Handler

	mu       sync.Mutex
	requests int
	attack   attack
	deaf     bool // set before the first request
}

// attack answers in place of the control plane; plane is the honest answer.
type attack func(w http.ResponseWriter, r *http.Request, plane http.Handler)

func newProxy(t testing.TB, plane http.Handler) *proxy {
	p := &proxy{plane: plane}
	server := httptest.NewServer(p)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p.url = server.URL
	return p
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	if strings.HasSuffix(r.URL.Path, "/resolve") {
		p.requests++
	}
	attack := p.attack
	p.mu.Unlock()
	if p.deaf && strings.HasSuffix(r.URL.Path, "/changes") { // a control plane that cannot tell
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if attack == nil || !strings.HasSuffix(r.URL.Path, "/resolve") {
		p.plane.ServeHTTP(w, r)
		return
	}
	attack(w, r, p.plane)
}

// turn makes the proxy hostile, or honest again with nil, and starts to count.
func (p *proxy) turn(a attack) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attack, p.requests = a, 0
}

func (p *proxy) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

func secretValue(i, version int) string {
	return fmt.Sprintf("canary-%03d-%03d-%s", i, version, randomText())
}
