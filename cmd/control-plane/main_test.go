package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain turns this test binary into control-plane when a test starts it.
func TestMain(m *testing.M) {
	if os.Getenv("CONTROL_PLANE_TEST_MAIN") == "1" {
		main()
	}
	os.Exit(m.Run())
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "CONTROL_PLANE_TEST_MAIN=1")
	return cmd
}

// start starts a server and returns it with the address that it prints.
func start(t *testing.T, args ...string) (*exec.Cmd, string, *bytes.Buffer) {
	t.Helper()
	cmd, log := command(t, append([]string{"serve"}, args...)...), &bytes.Buffer{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(line, "listening on ")
	if err != nil || !ok {
		_ = cmd.Wait()
		t.Fatalf("printed %q, %v: %s", line, err, log)
	}
	return cmd, strings.TrimSpace(url), log
}

func healthy(t *testing.T, client *http.Client, url string) {
	t.Helper()
	res, err := client.Get(url + "/api/health")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); res.StatusCode != 200 || strings.TrimSpace(string(body)) != `{"status":"ok"}` {
		t.Errorf("health: %d %s %v", res.StatusCode, body, err)
	}
	client.CloseIdleConnections()
}

// TestServe: the printed address serves, the process cannot be looked into, a
// second server is refused, and each signal ends it with 0.
func TestServe(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd, url, log := start(t, "--data", data, "--listen", "127.0.0.1:0")
		if !strings.HasPrefix(url, "http://127.0.0.1:") || strings.HasSuffix(url, ":0") {
			t.Errorf("address %q", url)
		}
		healthy(t, &http.Client{Transport: &http.Transport{}}, url)
		checkHardened(t, cmd.Process.Pid)
		out, err := command(t, "serve", "--data", data, "--listen", "127.0.0.1:0").CombinedOutput()
		want := fmt.Sprintf("control-plane: cannot use data directory %s: another control-plane has it open (process %d)\n", data, cmd.Process.Pid)
		if code(err) != 1 || string(out) != want {
			t.Errorf("second server: %d %q, want %q", code(err), out, want)
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v: %s", sig, err, log)
		}
		if token, err := os.ReadFile(filepath.Join(data, "operator.token")); err != nil || strings.Contains(log.String(), strings.TrimSpace(string(token))) {
			t.Errorf("token: %v, or it is in the log", err)
		}
	}
}

// checkHardened looks at the limits of a process. Non-dumpable shows in the
// owner of its files in /proc, which is root whoever runs it.
func checkHardened(t *testing.T, pid int) {
	t.Helper()
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max core file size"); ok && strings.Join(strings.Fields(rest)[:2], " ") != "1 1" {
			t.Errorf("core limit: %s", rest)
		}
	}
	if os.Getuid() == 0 {
		return // root may look anyway
	}
	if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid)); !errors.Is(err, os.ErrPermission) {
		t.Errorf("another process of this user can read it: %v", err)
	}
}

// TestExitCodes: 2 for what the command line says, 1 for what then fails.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{nil, 2, "a command is needed"},
		{[]string{"sever"}, 2, "hint: control-plane serve --help"},
		{[]string{"serve"}, 2, `"data", "listen" not set`},
		{[]string{"serve", "--data", data}, 2, `"listen" not set`},
		{[]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--nonsense"}, 2, "--nonsense"},
		{[]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "extra"}, 2, "extra"},
		{[]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--bundle-ttl", "soon"}, 2, "soon"},
		{[]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--tls-cert", "c"}, 2, "go together"},
		{[]string{"serve", "--data", data, "--listen", "0.0.0.0:0"}, 1, "hint: give --tls-cert and --tls-key"},
		{[]string{"serve", "--data", data, "--listen", taken.Addr().String()}, 1, "cannot listen"},
		{[]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--tls-cert", dir, "--tls-key", dir}, 1, "cannot use TLS certificate"},
		{[]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--master-key-file", filepath.Join(dir, "none")}, 1, "cannot use master key"},
		{[]string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--bundle-ttl", "1s"}, 1, "at least 10s"},
		{[]string{"serve", "--help"}, 0, "--master-key-file"},
		{[]string{"--version"}, 0, "control-plane version"},
	} {
		out, err := command(t, tt.args...).CombinedOutput()
		if code(err) != tt.code || !strings.Contains(string(out), tt.want) {
			t.Errorf("%v: %d %s, want %d with %q", tt.args, code(err), out, tt.code, tt.want)
		}
	}
}

func code(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	return -1
}

// TestTLS: with a certificate the address is https, and nothing below TLS 1.3
// is spoken.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	roots := certificateFiles(t, dir)
	cmd, url, log := start(t, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0",
		"--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"))
	if !strings.HasPrefix(url, "https://127.0.0.1:") {
		t.Errorf("address %q", url)
	}
	healthy(t, &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, url)
	old := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}}}
	if res, err := old.Get(url + "/api/health"); err == nil {
		res.Body.Close()
		t.Error("TLS 1.2 is spoken")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, log)
	}
}

// certificateFiles writes cert.pem and key.pem for 127.0.0.1 and returns the
// pool that trusts them.
func certificateFiles(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "cert.pem"), certPEM, 0o600), os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600)); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	return roots
}
