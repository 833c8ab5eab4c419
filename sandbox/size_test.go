package sandbox_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/agent-launcher/agent-launcher/sandbox"
)

// maxString is MAX_ARG_STRLEN of Linux: one string with its NUL.
const maxString = 131072

// TestLongestString: what is announced as the limit is what the kernel takes,
// and one byte more is refused before anything starts.
func TestLongestString(t *testing.T) {
	h := newHost(t)
	fill := func(name string, over int) string {
		return strings.Repeat("x", maxString-len(name)-len("=")-1+over)
	}
	for _, test := range []struct {
		what string
		spec func(over int) (sandbox.LaunchSpec, map[string]string)
	}{
		{"secret BIG", func(over int) (sandbox.LaunchSpec, map[string]string) {
			return command("/bin/true"), map[string]string{"BIG": fill("BIG", over)}
		}},
		{"variable PLAIN", func(over int) (sandbox.LaunchSpec, map[string]string) {
			spec := command("/bin/true")
			spec.Env["PLAIN"] = fill("PLAIN", over)
			return spec, nil
		}},
		{"argument 1", func(over int) (sandbox.LaunchSpec, map[string]string) {
			return command("/bin/true", strings.Repeat("x", maxString-1+over)), nil
		}},
	} {
		t.Run(test.what, func(t *testing.T) {
			spec, secrets := test.spec(0)
			h.must(t, spec, h.seal(t, secrets))
			for _, over := range []int{1, 5000} {
				spec, secrets = test.spec(over)
				_, err := h.Start(spec, h.seal(t, secrets), unconfined())
				wantError(t, err, fmt.Sprintf("cannot start agent tester: %s takes %d bytes, %d more than the kernel's limit of 131072 for one string (E2BIG)",
					test.what, maxString+over, over))
			}
		})
	}
}

// wantError compares the whole sentence.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// totalLimit is the kernel's for all strings and pointers (execve(2)).
func totalLimit(t *testing.T) int {
	var stack unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &stack); err != nil {
		t.Fatal(err)
	}
	return int(max(min(stack.Cur/4, 6<<20), 128<<10))
}

// fillTo makes a spec and secrets whose strings, pointers and program path take
// exactly total bytes.
func fillTo(program string, total int) (sandbox.LaunchSpec, map[string]string) {
	const pointer = 8
	spec := sandbox.LaunchSpec{Agent: "tester", Argv: []string{program}, Dir: "/", Env: map[string]string{}}
	secrets := map[string]string{"SECRET": strings.Repeat("s", 1000)}
	total -= len(program) + 1 // the path, which execve copies, too
	total -= len(program) + 1 + pointer
	total -= len("SECRET=") + 1000 + 1 + pointer
	const overhead = len("V0000=") + 1 + pointer
	for i := 0; total > 0; i++ {
		size := min(total, 130_000)
		if left := total - size; left > 0 && left <= overhead {
			size -= 100
		}
		spec.Env[fmt.Sprintf("V%04d", i)] = strings.Repeat("p", size-overhead)
		total -= size
	}
	return spec, secrets
}

func TestTotalSize(t *testing.T) {
	h := newHost(t)
	limit := totalLimit(t)
	spec, secrets := fillTo("/bin/true", limit)
	h.must(t, spec, h.seal(t, secrets))

	spec, secrets = fillTo("/bin/true", limit+1)
	_, err := h.Start(spec, h.seal(t, secrets), unconfined())
	wantError(t, err, fmt.Sprintf("cannot start agent tester: arguments and environment take %d bytes, 1 more than the limit of %d, a quarter of the stack limit (E2BIG)",
		limit+1, limit))

	// A script's interpreter and its argument count as well, and only the
	// kernel knows them.
	path := filepath.Join(h.dir, "script")
	script(t, path, 0o755, "#!/bin/true with-an-argument\n")
	spec, secrets = fillTo(path, limit)
	p := h.start(t, spec, h.seal(t, secrets))
	err = p.Release()
	wantError(t, err, "cannot start agent tester: "+path+": arguments and environment exceed the kernel's limit (E2BIG)")
	var start *sandbox.StartError
	if !errors.As(err, &start) || start.ExitCode() != 125 {
		t.Errorf("%#v", err)
	}
}
