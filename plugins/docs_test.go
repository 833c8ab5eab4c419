package plugins

import (
	"context"
	"encoding/json"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/plugins/adapter"
	"github.com/agent-launcher/agent-launcher/plugins/adapter/adaptertest"
)

// docsFiles puts the files of docs/adapters.md into dir: code blocks whose
// first line names one.
func docsFiles(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile("../docs/adapters.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```[a-z]+ ([a-z_.]+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d files in docs/adapters.md", len(blocks))
	}
	for _, b := range blocks {
		put(t, filepath.Join(dir, b[1]), []byte(b[2]))
		if formatted, err := format.Source([]byte(b[2])); filepath.Ext(b[1]) == ".go" && (err != nil || string(formatted) != b[2]) {
			t.Errorf("%s: not as gofmt has it: %v", b[1], err)
		}
	}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// TestTutorial builds the plugin of docs/adapters.md as a package of this
// module, runs its own test, and then the program in a host.
func TestTutorial(t *testing.T) {
	dir := openDir(t)
	docsFiles(t, dir)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range []string{"main.go", "main_test.go"} {
		files[filepath.Join(here, "prompt_cli", name)] = filepath.Join(dir, name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "overlay.json"), overlay)
	program, tests := filepath.Join(dir, "prompt_cli"), filepath.Join(dir, "prompt_cli.test")
	flags := []string{"-trimpath", "-buildvcs=false", "-overlay", filepath.Join(dir, "overlay.json")}
	command(t, "go", append(append([]string{"build", "-o", program}, flags...), "./prompt_cli")...)
	command(t, "go", append(append([]string{"test", "-c", "-vet=off", "-o", tests}, flags...), "./prompt_cli")...)
	command(t, tests)

	h := newHost(t, func(o *Options) { o.Dir = dir })
	config := []byte(`{"program":"/none/such","prompt":"hello","cwd":"/tmp"}`)
	plan, err := h.Plan(context.Background(), "prompt_cli", adapter.PlanRequest{Config: config})
	if err != nil || string(plan.Stdin) != "hello" || plan.Argv[0] != "/none/such" {
		t.Errorf("%+v %v", plan, err)
	}
	checks, err := h.TestEnvironment(context.Background(), "prompt_cli", adapter.EnvironmentRequest{Config: config})
	if err != nil || len(checks) != 1 || checks[0].Message != "there is no such file" {
		t.Errorf("%+v %v", checks, err)
	}
	adaptertest.RunBinary(t, program, adaptertest.Case{Config: string(config)})
}

// TestPython runs the plugin in Python, where there is what it needs.
func TestPython(t *testing.T) {
	if out, err := exec.Command("/usr/bin/python3", "-c", "import grpc, cryptography, google.protobuf").CombinedOutput(); err != nil {
		t.Skipf("no Python with gRPC, cryptography and protobuf: %v", strings.TrimSpace(string(out)))
	}
	if _, err := exec.LookPath("protoc"); err != nil {
		t.Skip("no protoc")
	}
	dir := openDir(t)
	docsFiles(t, dir)
	command(t, "protoc", "-Iadapter/adapterpb", "--python_out="+dir, "adapter.proto")
	adaptertest.RunBinary(t, filepath.Join(dir, "prompt_py"),
		adaptertest.Case{Config: `{"prompt":"hello"}`}, adaptertest.Case{Config: `{}`, Problems: []string{"prompt"}})
	h := newHost(t, func(o *Options) { o.Dir = dir })
	plan, err := h.Plan(context.Background(), "prompt_py", adapter.PlanRequest{Config: []byte(`{"prompt":"hello"}`)})
	if err != nil || string(plan.Stdin) != "hello" {
		t.Errorf("%+v %v", plan, err)
	}
}
